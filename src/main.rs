//! The entry point: from the kernel's first instruction to `cli::main`.
//!
//! What a C library would have done before `main` and what the compiler
//! expects of one: `_start`, relocation, the `mem*` functions, the panic
//! handler, and the static workspace, the program's only large memory.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "nothing below has been set up yet")]

use core::ffi::c_char;

use ocinit::cli::{self, Workspace};
use ocinit::init;
use ocinit::sys;

mod entry;
mod memory;
mod relocate;

/// All of the program's large buffers. In .bss: a page that is never touched
/// takes no memory.
static mut WORKSPACE: Workspace = Workspace::new();

/// What process 1 has besides.
static mut MEMORY: init::Memory = init::Memory::new();

/// # Safety
/// Called once, by `_start`, with the stack as the kernel left it.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: first of all, before any relocated table is read.
    unsafe { relocate::relocate() };
    // SAFETY: the kernel has laid down argc, argv, NULL, envp, NULL from here
    // on, and nobody changes them.
    let (arguments, environment) = unsafe {
        let argc = *stack;
        let argv = stack.add(1).cast::<*const c_char>();
        (sys::Vector::new(argv), sys::Vector::new(argv.add(argc + 1)))
    };
    // rustix finds the auxiliary vector behind envp; left to itself it would
    // read /proc/self/auxv and panic where /proc is not mounted.
    // SAFETY: `envp` is the kernel's, with the auxiliary vector behind it.
    unsafe { sys::param::init(stack.add(1 + *stack + 1).cast::<*mut u8>().cast_mut()) };
    let workspace = &raw mut WORKSPACE;
    // SAFETY: `start` runs once and nothing else names WORKSPACE.
    let workspace = unsafe { &mut *workspace };
    if init::is_init(arguments) {
        let memory = &raw mut MEMORY;
        // SAFETY: as for WORKSPACE.
        init::main(workspace, unsafe { &mut *memory })
    }
    // SAFETY: as for `init` above.
    if unsafe { is_set_user_id(stack.add(1 + *stack + 1)) } {
        sys::exit(cli::refuse_set_user_id())
    }
    sys::exit(cli::main(arguments, environment, workspace))
}

/// Whether the kernel gave the program rights that its caller lacks (getauxval(3),
/// AT_SECURE).
///
/// # Safety
/// `environment` is the kernel's envp, with the auxiliary vector behind it.
unsafe fn is_set_user_id(environment: *const usize) -> bool {
    const AT_NULL: usize = 0;
    const AT_SECURE: usize = 23;
    // SAFETY: NULL ends the environment, and AT_NULL the vector of pairs behind it.
    unsafe {
        let mut word = environment;
        while *word != 0 {
            word = word.add(1);
        }
        word = word.add(1);
        while *word != AT_NULL {
            if *word == AT_SECURE {
                return *word.add(1) != 0;
            }
            word = word.add(2);
        }
    }
    false
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if init::runs() { init::panicked(info) } else { cli::panicked(info) }
}
