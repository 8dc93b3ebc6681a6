pub mod args;
pub mod commands;
pub mod words;

use crate::sys;
pub struct Workspace {
    pub document: [u8; crate::limits::DOCUMENT],
}
impl Workspace {
    pub const fn new() -> Self {
        Workspace { document: [0; crate::limits::DOCUMENT] }
    }
}
pub fn main(arguments: sys::Vector, _environment: sys::Vector, workspace: &'static mut Workspace) -> i32 {
    let _ = workspace;
    let e = crate::fail!("hello {}", crate::error::Lossy(arguments.iter().next().unwrap_or(c"").to_bytes()));
    let mut b = heapless::String::<256>::new();
    use core::fmt::Write;
    let _ = write!(b, "{e}\n");
    let _ = sys::io::write(sys::stderr(), b.as_bytes());
    0
}
pub fn panicked(_info: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(1)
}
