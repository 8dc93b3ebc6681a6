use crate::error::Result;
pub fn load(_list: &core::ffi::CStr) -> Result<()> {
    crate::sys::boot_time();
    Err(crate::fail!("stub"))
}
