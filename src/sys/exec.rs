//! execve(2), and the vectors of strings that it and the kernel's start of a
//! process use.

use core::ffi::CStr;
use core::marker::PhantomData;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::raw::syscall;

/// A NULL-terminated array of C strings that the kernel gave us: argv or envp.
#[derive(Clone, Copy)]
pub struct Vector {
    first: *const *const core::ffi::c_char,
}

impl Vector {
    /// # Safety
    /// `first` begins a NULL-terminated array of C strings that live as long as
    /// the process and are never changed, as execve(2) leaves them on the stack.
    pub unsafe fn new(first: *const *const core::ffi::c_char) -> Vector {
        Vector { first }
    }

    /// The strings in their order.
    pub fn iter(&self) -> Strings {
        Strings { next: self.first }
    }
}

/// The strings of a [`Vector`], one after the other.
#[derive(Clone, Copy)]
pub struct Strings {
    next: *const *const core::ffi::c_char,
}

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: by the invariant of `Vector::new`, `next` is inside the array:
        // it only moves on past entries that are not NULL.
        let string = unsafe { *self.next };
        if string.is_null() {
            return None;
        }
        // SAFETY: as above, and the entry is a C string that lives forever.
        unsafe {
            self.next = self.next.add(1);
            Some(CStr::from_ptr(string))
        }
    }
}

/// A NULL-terminated array of C strings for execve(2), of at most `N - 1`.
#[repr(C)] // the length is in the page of the first pointers
pub struct PointerTable<'a, const N: usize> {
    length: usize,
    pointers: [*const core::ffi::c_char; N],
    strings: PhantomData<&'a CStr>,
}

impl<'a, const N: usize> PointerTable<'a, N> {
    /// Empty. All zeros, so that a static one takes no room in the file.
    pub const fn new() -> Self {
        PointerTable { pointers: [core::ptr::null(); N], length: 0, strings: PhantomData }
    }

    /// Adds a string; `false` where the table is full.
    #[must_use = "a string that did not fit must not be dropped silently"]
    pub fn push(&mut self, string: &'a CStr) -> bool {
        // The last entry stays NULL.
        match self.pointers.get_mut(self.length) {
            Some(place) if self.length + 1 < N => {
                *place = string.as_ptr();
                self.length += 1;
                true
            }
            _ => false,
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        if let Some(used) = self.pointers.get_mut(..self.length) {
            used.fill(core::ptr::null());
        }
        self.length = 0;
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The string at `index`.
    pub fn get(&self, index: usize) -> Option<&'a CStr> {
        let pointer = *self.pointers.get(..self.length)?.get(index)?;
        // SAFETY: below `length` every pointer that is not NULL was taken from
        // a `&'a CStr`.
        (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) })
    }

    /// Marks the string at `index` as to be left out, see [`Self::compact`].
    pub fn forget(&mut self, index: usize) {
        if let Some(place) = self.pointers.get_mut(index) {
            *place = core::ptr::null();
        }
    }

    /// Closes the gaps that [`Self::forget`] left. Until then execve would end
    /// at the first of them.
    pub fn compact(&mut self) {
        let mut kept = 0;
        for index in 0..self.length {
            let pointer = self.pointers.get(index).copied().unwrap_or(core::ptr::null());
            if !pointer.is_null()
                && let Some(place) = self.pointers.get_mut(kept)
            {
                *place = pointer;
                kept += 1;
            }
        }
        if let Some(rest) = self.pointers.get_mut(kept..self.length) {
            rest.fill(core::ptr::null());
        }
        self.length = kept;
    }
}

impl<const N: usize> Default for PointerTable<'_, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// `int execve(const char *pathname, char *const argv[], char *const envp[]);` execve(2)
///
/// Returns only on failure.
pub fn execve<const A: usize, const E: usize>(
    path: &CStr,
    argv: &PointerTable<'_, A>,
    envp: &PointerTable<'_, E>,
) -> Errno {
    // SAFETY: three C strings and arrays, the arrays NULL-terminated by their
    // invariant; on success nothing of this program is left to be unsound.
    let result = unsafe { syscall!(__NR_execve, path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    result.err().unwrap_or(Errno::NOEXEC)
}

/// `int execveat(int dirfd, "", char *const argv[], char *const envp[], AT_EMPTY_PATH);` execveat(2)
///
/// Executes the file that `file` refers to, with vectors that the kernel gave
/// us. Returns only on failure.
pub fn execveat(file: BorrowedFd<'_>, argv: Vector, envp: Vector) -> Errno {
    const AT_EMPTY_PATH: usize = 0x1000;
    // SAFETY: an empty C string, and two NULL-terminated arrays by the invariant
    // of `Vector::new`.
    let result =
        unsafe { syscall!(__NR_execveat, file.as_raw_fd(), c"".as_ptr(), argv.first, envp.first, AT_EMPTY_PATH) };
    result.err().unwrap_or(Errno::NOEXEC)
}
