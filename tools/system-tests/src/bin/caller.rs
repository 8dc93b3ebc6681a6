//! Makes system calls by their numbers, for the tests of seccomp filters, and
//! prints what each returned.
//!
//! Static, and without any dependency, as the probe. Usage: `caller CALL...`,
//! each `WAY:NUMBER[:ARGUMENT...]`, where the way is `64` (syscall), `x32` (the
//! same, with the bit set) or `32` (int 0x80). `caller catch CALL...` catches
//! SIGSYS, says so and ends with status 7.
#![allow(unsafe_code, reason = "system calls by their numbers")]

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn _exit(status: i32) -> !;
}

extern "C" fn caught(_: i32) {
    println!("caught");
    // SAFETY: ends the process.
    unsafe { _exit(7) }
}

#[cfg(target_arch = "x86_64")]
fn call(way: &str, number: u64, arguments: [u64; 6]) -> i64 {
    use core::arch::asm;
    let [a, b, c, d, e, f] = arguments;
    let mut result = number;
    if way == "32" {
        // SAFETY: the test chooses calls that do nothing to this process; rbx is
        // the compiler's, so it is put back.
        unsafe {
            asm!("xchg rbx, {a}", "int 0x80", "xchg rbx, {a}", a = inout(reg) a => _, inout("rax") result,
                 in("rcx") b, in("rdx") c, in("rsi") d, in("rdi") e,
                 out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        return i64::from(result as i32);
    }
    if way == "x32" {
        result |= 0x4000_0000;
    }
    // SAFETY: the test chooses calls that do nothing to this process.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
             in("r9") f, out("rcx") _, out("r11") _);
    }
    result as i64
}

#[cfg(not(target_arch = "x86_64"))]
fn call(_: &str, _: u64, _: [u64; 6]) -> i64 {
    -38 // there is one way only, with other numbers: none of them
}

fn main() {
    let mut calls = std::env::args().skip(1).peekable();
    if calls.next_if(|first| first == "catch").is_some() {
        const SIGSYS: i32 = 31;
        let handler: extern "C" fn(i32) = caught;
        // SAFETY: the handler is of the type that signal(2) wants.
        unsafe { signal(SIGSYS, handler as usize) };
    }
    for asked in calls {
        let mut fields = asked.split(':');
        let way = fields.next().unwrap_or("");
        let mut numbers = fields.map(|field| field.parse::<u64>().expect("a number"));
        let number = numbers.next().expect("a call's number");
        let mut arguments = [0; 6];
        for (argument, given) in arguments.iter_mut().zip(numbers) {
            *argument = given;
        }
        println!("{asked} {}", call(way, number, arguments));
    }
}
