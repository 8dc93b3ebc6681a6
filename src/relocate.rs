//! Relocation of the program by itself (static-PIE).
//!
//! The linker leaves two lists (generic ABI, "Relocation"; RELR is its compact
//! form) of words that hold an address relative to the load address. Until
//! they have been fixed no table of pointers may be read, which rules out
//! panics, formatting and most of `core` in here.

use core::arch::asm;

const DT_NULL: usize = 0;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;

/// One entry of .rela.dyn; all are R_*_RELATIVE in a static-PIE.
#[repr(C)]
struct Rela {
    offset: usize,
    _info: usize,
    addend: usize,
}

/// Where the program was loaded, and its dynamic section: by instructions
/// relative to the program counter, which need no relocation themselves.
fn addresses() -> (usize, *const [usize; 2]) {
    let (base, dynamic);
    // SAFETY: both symbols are the linker's; only their addresses are taken.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("lea {0}, [rip + __ehdr_start]", "lea {1}, [rip + _DYNAMIC]", out(reg) base, out(reg) dynamic, options(nomem, nostack, preserves_flags, pure));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("adrp {0}, __ehdr_start", "add {0}, {0}, :lo12:__ehdr_start", "adrp {1}, _DYNAMIC", "add {1}, {1}, :lo12:_DYNAMIC", out(reg) base, out(reg) dynamic, options(nomem, nostack, preserves_flags, pure));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "riscv64")]
    unsafe {
        asm!("lla {0}, __ehdr_start", "lla {1}, _DYNAMIC", out(reg) base, out(reg) dynamic, options(nomem, nostack, preserves_flags, pure));
    }
    (base, dynamic)
}

/// # Safety
/// To be called once, before anything else of the program runs.
#[inline(never)]
pub unsafe fn relocate() {
    let (base, mut dynamic) = addresses();
    let (mut rela, mut rela_size, mut relr, mut relr_size) = (0, 0, 0, 0);
    // SAFETY: the dynamic section is an array of pairs that ends with DT_NULL.
    unsafe {
        while (*dynamic)[0] != DT_NULL {
            let [tag, value] = *dynamic;
            if tag == DT_RELA {
                rela = value;
            } else if tag == DT_RELASZ {
                rela_size = value;
            } else if tag == DT_RELR {
                relr = value;
            } else if tag == DT_RELRSZ {
                relr_size = value;
            }
            dynamic = dynamic.add(1);
        }
    }
    let mut entry = (base + rela) as *const Rela;
    let end = base + rela + rela_size;
    while (entry as usize) < end {
        // SAFETY: inside the list, whose entries name words of the data segment.
        unsafe {
            *((base + (*entry).offset) as *mut usize) = base + (*entry).addend;
            entry = entry.add(1);
        }
    }
    let mut entry = (base + relr) as *const usize;
    let end = base + relr + relr_size;
    let mut place = core::ptr::null_mut::<usize>();
    while (entry as usize) < end {
        // SAFETY: as above; an even entry is the address of a word, an odd one
        // has a bit for each of the 63 words behind the last one.
        unsafe {
            let mut bits = *entry;
            if bits & 1 == 0 {
                place = (base + bits) as *mut usize;
                *place += base;
                place = place.add(1);
            } else {
                let mut word = place;
                bits >>= 1;
                while bits != 0 {
                    if bits & 1 == 1 {
                        *word += base;
                    }
                    word = word.add(1);
                    bits >>= 1;
                }
                place = place.add(usize::BITS as usize - 1);
            }
            entry = entry.add(1);
        }
    }
}
