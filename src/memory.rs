//! The functions that compiled code calls for copies and comparisons.
//!
//! Here and not in the library: they would collide with std's in host tests.
//! Plain loops could be compiled into calls of themselves, hence the string
//! instructions on x86_64 and volatile accesses elsewhere.

use core::arch::asm;

/// # Safety
/// memcpy(3): both regions are of `n` bytes and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's.
    unsafe { copy_forward(to, from, n) };
    to
}

/// # Safety
/// memmove(3): both regions are of `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's; the direction keeps bytes from being overwritten
    // before they were read.
    unsafe {
        if (to as usize).wrapping_sub(from as usize) >= n {
            copy_forward(to, from, n);
        } else {
            copy_backward(to, from, n);
        }
    }
    to
}

/// # Safety
/// memset(3): the region is of `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for index in 0..n {
        // SAFETY: inside the caller's region.
        unsafe { to.add(index).write_volatile(byte as u8) };
    }
    to
}

/// # Safety
/// memcmp(3): both regions are of `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for index in 0..n {
        // SAFETY: inside the caller's regions; volatile, so that the loop is
        // not turned into a call of memcmp.
        let (x, y) = unsafe { (a.add(index).read_volatile(), b.add(index).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

/// # Safety
/// As memcmp.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { memcmp(a, b, n) }
}

/// # Safety
/// strlen(3): a NUL ends the string.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: up to the NUL.
    while unsafe { string.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

unsafe fn copy_forward(to: *mut u8, from: *const u8, n: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for index in 0..n {
        // SAFETY: inside the caller's regions.
        unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) };
    }
}

unsafe fn copy_backward(to: *mut u8, from: *const u8, n: usize) {
    for index in (0..n).rev() {
        // SAFETY: inside the caller's regions.
        unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) };
    }
}
