//! The forms of single values: JSON's own, and numbers in the ranges that the
//! kernel has.

use super::record::{Form, Range, Shape};
use crate::json::{Text, Value};

macro_rules! scalar {
    ($($shape:ty => $seen_as:ty, $form:expr, $value:ident: $read:expr;)*) => {$(
        impl Shape for $shape {
            const FORM: Form = $form;
            type Element<'a> = $seen_as;
            type Field<'a> = Option<$seen_as>;
            fn element($value: Value<'_>) -> Option<Self::Element<'_>> {
                $read
            }
            fn field(value: Option<Value<'_>>) -> Self::Field<'_> {
                value.and_then(Self::element)
            }
        }
    )*};
}

/// An object that is not looked into.
pub struct Anything;

/// A process id as a file of ours holds it; 0 is none. Never negative: kill(2)
/// would take it for a group or for everybody.
pub struct Pid;

/// A whole number of at least one.
pub struct Positive;

/// A user or group id. To setresuid(2) the last one means "leave it as it is",
/// which is root.
pub struct Id;

/// A file mode creation mask (umask(2)).
pub struct Umask;

/// How readily a process is killed when memory runs out (oom_score_adj, proc(5)).
pub struct OomScore;

/// Rows or columns of a terminal: `struct winsize` (ioctl_tty(2)) has 16 bits for each.
pub struct Cells;

/// The number that a device rule speaks of, or -1 for any.
pub struct RuleNumber;

scalar! {
    Id => u32, Form::Integer(&Range { least: 0, most: u32::MAX as u64 - 1 }), value: value.as_i64()?.try_into().ok();
    Umask => u32, Form::Integer(&Range { least: 0, most: 0o777 }), value: value.as_i64()?.try_into().ok();
    OomScore => i32, Form::Integer(&Range { least: -1000, most: 1000 }), value: value.as_i64()?.try_into().ok();
    Cells => u64, Form::Integer(&Range { least: 0, most: u16::MAX as u64 }), value: value.as_u64();
    RuleNumber => i64, Form::Integer(&Range { least: -1, most: i32::MAX as u64 }), value: value.as_i64();
    Pid => i32, Form::Integer(&Range { least: 0, most: i32::MAX as u64 }), value: value.as_i64()?.try_into().ok();
    Positive => i64, Form::Integer(&Range { least: 1, most: i64::MAX as u64 }), value: value.as_i64();
    Text<'static> => Text<'a>, Form::Text, value: Some(Text::at(value));
    Anything => Value<'a>, Form::Anything, value: Some(value);
    bool => bool, Form::Bool, value: value.as_bool();
    u16 => u16, Form::Integer(&Range { least: 0, most: u16::MAX as u64 }), value: value.as_i64()?.try_into().ok();
    u32 => u32, Form::Integer(&Range { least: 0, most: u32::MAX as u64 }), value: value.as_i64()?.try_into().ok();
    u64 => u64, Form::Integer(&Range { least: 0, most: u64::MAX }), value: value.as_u64();
    i32 => i32, Form::Integer(&Range { least: i32::MIN as i64, most: i32::MAX as u64 }), value: value.as_i64()?.try_into().ok();
    i64 => i64, Form::Integer(&Range { least: i64::MIN, most: i64::MAX as u64 }), value: value.as_i64();
}
