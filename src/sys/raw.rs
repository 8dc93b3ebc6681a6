//! The one door to the kernel for calls that rustix lacks.

use rustix::io::Errno;

/// What a raw system call returned: a value, or a negated errno.
pub(super) fn result(returned: usize) -> Result<usize, Errno> {
    // The kernel reserves the last 4095 values for errnos (syscall(2)).
    match returned as isize {
        -4095..=-1 => Err(Errno::from_raw_os_error(-(returned as isize) as i32)),
        _ => Ok(returned),
    }
}

/// A raw system call by its `__NR_` number, as a `Result`.
macro_rules! syscall {
    ($number:ident, $a:expr) => {
        $crate::sys::raw::result(sc::syscall1(linux_raw_sys::general::$number as usize, $a as usize))
    };
    ($number:ident, $a:expr, $b:expr) => {
        $crate::sys::raw::result(sc::syscall2(linux_raw_sys::general::$number as usize, $a as usize, $b as usize))
    };
    ($number:ident, $a:expr, $b:expr, $c:expr) => {
        $crate::sys::raw::result(sc::syscall3(linux_raw_sys::general::$number as usize, $a as usize, $b as usize, $c as usize))
    };
    ($number:ident, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::sys::raw::result(sc::syscall4(
            linux_raw_sys::general::$number as usize,
            $a as usize,
            $b as usize,
            $c as usize,
            $d as usize,
        ))
    };
    ($number:ident, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::sys::raw::result(sc::syscall5(
            linux_raw_sys::general::$number as usize,
            $a as usize,
            $b as usize,
            $c as usize,
            $d as usize,
            $e as usize,
        ))
    };
    ($number:ident, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr) => {
        $crate::sys::raw::result(sc::syscall6(
            linux_raw_sys::general::$number as usize,
            $a as usize,
            $b as usize,
            $c as usize,
            $d as usize,
            $e as usize,
            $f as usize,
        ))
    };
}

pub(super) use syscall;
