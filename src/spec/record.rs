//! How the OCI documents are described and read: one table per object.
//!
//! [`record!`](crate::record) declares an object once. Out of the declaration come the table
//! that [`check`] validates a whole document against, and a typed view whose
//! getters cannot fail because the check has been made.
//!
//! `null` is the same as absent everywhere: engines written in Go send it.

use core::marker::PhantomData;

use crate::json::{Items, Members, Text, Value};
use crate::word_list::{Finder, WordList};

pub use super::check::{Strictness, asks_for_nothing, check, not_between};
pub use super::scalars::{Anything, Cells, Id, OomScore, Pid, Positive, RuleNumber, Umask};

/// The fields of an object. Three short rows instead of one of structures: there
/// are some 250 fields, and a name of its own would cost each sixteen bytes more.
pub struct Table {
    pub names: WordList,
    pub forms: &'static [&'static Form],
    pub rules: &'static [Rule],
}

impl Table {
    /// The field called `name`: its index, its form and its rule. `finder` is for
    /// this table's names.
    pub fn find(&self, name: Text<'_>, finder: &mut Finder) -> Option<(usize, &'static Form, Rule)> {
        let index = name.place_by(finder)?;
        Some((index, self.forms.get(index)?, *self.rules.get(index)?))
    }
}

/// What the specification demands of a field, beyond its form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// May be absent.
    Optional,
    /// Must be there.
    Required,
    /// Carried out by a later version of this program: an error until then.
    Later,
    /// Speaks of another platform: an error on Linux.
    Foreign,
}

/// The form of a value.
pub enum Form {
    Bool,
    Text,
    Integer(&'static Range),
    /// One of these words, as [`WordSet`] has them.
    Word(&'static WordList),
    /// A string for which a test holds.
    Pattern(&'static Test),
    List(&'static Form),
    /// A list of one element at least.
    Filled(&'static Form),
    /// An object with names of its own.
    Map(&'static Form),
    Object(&'static Table),
    /// An object that is not looked into.
    Anything,
}

/// The integers from one to another, inclusive.
pub struct Range {
    pub least: i64,
    pub most: u64,
}

/// What a string of a pattern has to pass; see [`Pattern`].
pub struct Test {
    pub says: &'static str,
    pub holds: fn(Text<'_>) -> bool,
    pub most: usize,
    pub shown: bool,
}

/// How a value of some form is seen by the program.
///
/// Implemented by the `'static` instances of the views, which serve as names of
/// forms in a declaration.
pub trait Shape {
    const FORM: Form;
    /// As an element of a list or a map.
    type Element<'a>;
    /// As a field, which may be absent.
    type Field<'a>;
    fn element(value: Value<'_>) -> Option<Self::Element<'_>>;
    fn field(value: Option<Value<'_>>) -> Self::Field<'_>;
}

/// Fields of an object that are found at once: no table has more.
pub const FIELDS: usize = 26;

/// An object of a document and where its members are. All views are this one
/// type, so that making and reading them is one piece of code.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    value: Value<'a>,
    /// By the table's index, as offsets in the document; 0 is absent, and so is
    /// `null`.
    members: [u32; FIELDS],
}

impl<'a> Record<'a> {
    /// Finds the members that `table` names.
    #[inline(never)]
    pub fn of(value: Value<'a>, table: &Table) -> Record<'a> {
        let mut record = Record { value, members: [0; FIELDS] };
        let mut finder = table.names.finder();
        for (name, value) in value.members() {
            if let Some(place) = name.place_by(&mut finder).and_then(|index| record.members.get_mut(index)) {
                // A document's size fits.
                *place = if value.is_null() { 0 } else { value.offset() as u32 };
            }
        }
        record
    }

    /// The place in the document.
    pub fn value(&self) -> Value<'a> {
        self.value
    }

    /// The member number `index` of the table.
    #[inline(never)]
    pub fn member(&self, index: usize) -> Option<Value<'a>> {
        self.members.get(index).filter(|offset| **offset != 0).map(|offset| self.value.elsewhere(*offset as usize))
    }
}

/// Declares an object of a document:
///
/// ```text
/// record! {
///     /// What it is (where the specification says so).
///     Mount {
///         destination "destination": Text, Required;
///         options "options": List<Text>;
///     }
/// }
/// ```
///
/// gives `Mount<'a>` with a getter for each field, `Mount::TABLE`, and the
/// object's [`Shape`].
#[macro_export]
macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident $json:literal: $shape:ty $(, $rule:ident)?;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<'a>($crate::spec::record::Record<'a>);

        const _: () = assert!($crate::record!(@count $($json)*) <= $crate::spec::record::FIELDS);

        impl<'a> $name<'a> {
            /// The object's fields, as the specification has them.
            pub const TABLE: &'static $crate::spec::record::Table = &$crate::spec::record::Table {
                names: $crate::word_list!(@concat!($(" ", $json),*)),
                forms: &[$(&<$shape as $crate::spec::record::Shape>::FORM),*],
                rules: &[$($crate::record!(@rule $($rule)?)),*],
            };

            /// The object that stands at `value`, which was checked.
            pub fn view(value: $crate::json::Value<'a>) -> Self {
                $name($crate::spec::record::Record::of(value, Self::TABLE))
            }

            /// The place in the document.
            pub fn value(&self) -> $crate::json::Value<'a> {
                self.0.value()
            }

            $($(#[$field_doc])*
            #[allow(dead_code, reason = "the whole specification is declared")]
            pub fn $field(&self) -> <$shape as $crate::spec::record::Shape>::Field<'a> {
                const INDEX: usize = $name::TABLE.names.index_of($json);
                <$shape as $crate::spec::record::Shape>::field(self.0.member(INDEX))
            })*
        }

        impl $crate::spec::record::Shape for $name<'static> {
            const FORM: $crate::spec::record::Form = $crate::spec::record::Form::Object($name::TABLE);
            type Element<'a> = $name<'a>;
            type Field<'a> = Option<$name<'a>>;
            fn element(value: $crate::json::Value<'_>) -> Option<$name<'_>> {
                Some($name::view(value))
            }
            fn field(value: Option<$crate::json::Value<'_>>) -> Option<$name<'_>> {
                value.map($name::view)
            }
        }
    };
    (@count $($json:literal)*) => { <[&str]>::len(&[$($json),*]) };
    (@rule) => { $crate::spec::record::Rule::Optional };
    (@rule $rule:ident) => { $crate::spec::record::Rule::$rule };
}

/// A closed set of words, named by a type.
pub trait WordSet {
    const WORDS: WordList;
}

/// One word of the set `W`.
pub struct OneOf<W>(PhantomData<W>);

impl<W: WordSet> Shape for OneOf<W> {
    const FORM: Form = Form::Word(&W::WORDS);
    type Element<'a> = Text<'a>;
    type Field<'a> = Option<Text<'a>>;
    fn element(value: Value<'_>) -> Option<Text<'_>> {
        Some(Text::at(value))
    }
    fn field(value: Option<Value<'_>>) -> Option<Text<'_>> {
        value.map(Text::at)
    }
}

/// A form of strings: one that the schema gives as a regular expression, the
/// text of the specification in words, or the kernel by its limits.
pub trait Pattern {
    /// What is expected, for a message.
    const SAYS: &'static str;
    /// Bytes that it may have.
    const MOST: usize = usize::MAX;
    /// Whether a message may show it: not what may be half of a password.
    const SHOWN: bool = true;
    fn holds(text: Text<'_>) -> bool;
}

/// A string of the pattern `P`.
pub struct Matching<P>(PhantomData<P>);

impl<P: Pattern> Shape for Matching<P> {
    const FORM: Form = Form::Pattern(&Test { says: P::SAYS, holds: P::holds, most: P::MOST, shown: P::SHOWN });
    type Element<'a> = Text<'a>;
    type Field<'a> = Option<Text<'a>>;
    fn element(value: Value<'_>) -> Option<Text<'_>> {
        Some(Text::at(value))
    }
    fn field(value: Option<Value<'_>>) -> Option<Text<'_>> {
        value.map(Text::at)
    }
}

/// A [`List`] that must not be empty where it is there.
pub struct Filled<S>(PhantomData<S>);

impl<S: Shape> Shape for Filled<S> {
    const FORM: Form = Form::Filled(&S::FORM);
    type Element<'a> = List<'a, S>;
    type Field<'a> = List<'a, S>;
    fn element(value: Value<'_>) -> Option<List<'_, S>> {
        List::element(value)
    }
    fn field(value: Option<Value<'_>>) -> List<'_, S> {
        List::field(value)
    }
}

/// An array, walked lazily; an absent one is empty.
pub struct List<'a, S> {
    value: Option<Value<'a>>,
    shape: PhantomData<S>,
}

// Not derived: the bound on `S` that a derive adds would be wrong.
impl<S> Clone for List<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for List<'_, S> {}

impl<'a, S: Shape> List<'a, S> {
    /// None at all.
    pub fn empty() -> Self {
        List { value: None, shape: PhantomData }
    }

    /// The elements.
    pub fn iter(&self) -> ListItems<'a, S> {
        ListItems { items: Items::of(self.value), shape: PhantomData }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        is_empty(self.value)
    }

    /// The place of the array, where there is one.
    pub fn value(&self) -> Option<Value<'a>> {
        self.value
    }
}

#[inline(never)] // once, not for every type of element
fn is_empty(array: Option<Value<'_>>) -> bool {
    Items::of(array).next().is_none()
}

/// The elements of a [`List`].
pub struct ListItems<'a, S> {
    items: Items<'a>,
    shape: PhantomData<S>,
}

impl<'a, S: Shape> Iterator for ListItems<'a, S> {
    type Item = S::Element<'a>;

    fn next(&mut self) -> Option<S::Element<'a>> {
        self.items.next().and_then(S::element)
    }
}

impl<S: Shape> Shape for List<'static, S> {
    const FORM: Form = Form::List(&S::FORM);
    type Element<'a> = List<'a, S>;
    type Field<'a> = List<'a, S>;
    fn element(value: Value<'_>) -> Option<List<'_, S>> {
        Some(List { value: Some(value), shape: PhantomData })
    }
    fn field(value: Option<Value<'_>>) -> List<'_, S> {
        List { value, shape: PhantomData }
    }
}

/// An object with names of its own, walked lazily; an absent one is empty.
pub struct Map<'a, S> {
    value: Option<Value<'a>>,
    shape: PhantomData<S>,
}

impl<S> Clone for Map<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Map<'_, S> {}

impl<'a, S: Shape> Map<'a, S> {
    /// Names and values, in the order of the document.
    pub fn iter(&self) -> MapItems<'a, S> {
        MapItems { members: Members::of(self.value), shape: PhantomData }
    }

    /// The place of the object, where there is one.
    pub fn value(&self) -> Option<Value<'a>> {
        self.value
    }
}

/// The members of a [`Map`].
pub struct MapItems<'a, S> {
    members: Members<'a>,
    shape: PhantomData<S>,
}

impl<'a, S: Shape> Iterator for MapItems<'a, S> {
    type Item = (Text<'a>, S::Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        // As a member with a name of ours, one that is `null` is absent.
        let (name, value) = self.members.find(|(_, value)| !value.is_null())?;
        Some((name, S::element(value)?))
    }
}

impl<S: Shape> Shape for Map<'static, S> {
    const FORM: Form = Form::Map(&S::FORM);
    type Element<'a> = Map<'a, S>;
    type Field<'a> = Map<'a, S>;
    fn element(value: Value<'_>) -> Option<Map<'_, S>> {
        Some(Map { value: Some(value), shape: PhantomData })
    }
    fn field(value: Option<Value<'_>>) -> Map<'_, S> {
        Map { value, shape: PhantomData }
    }
}
