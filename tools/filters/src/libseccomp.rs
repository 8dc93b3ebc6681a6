//! What libseccomp makes of a profile, asked as runc asks it: seccomp_init(3),
//! seccomp_rule_add(3), seccomp_export_bpf(3). Opened at run time, so that nothing
//! needs it to be built.
#![allow(unsafe_code, reason = "a C library, opened at run time")]

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use libloading::{Library, Symbol};
use serde_json::Value;

use crate::interpreter::Instruction;

/// `struct scmp_arg_cmp` of seccomp.h.
#[repr(C)]
struct Comparison {
    argument: c_uint,
    operator: c_int,
    one: u64,
    two: u64,
}

/// `SCMP_FLTATR_CTL_OPTIMIZE`: 2 is a binary tree over the calls.
const OPTIMIZE: c_int = 8;

/// The library.
pub struct Libseccomp(Library);

/// `SCMP_ARCH_*` of seccomp.h.
fn architecture(name: &str) -> Option<u32> {
    Some(match name {
        "SCMP_ARCH_X86" => 0x4000_0003,
        "SCMP_ARCH_X86_64" => 0xc000_003e,
        "SCMP_ARCH_X32" => 0x4000_003e,
        "SCMP_ARCH_ARM" => 0x4000_0028,
        "SCMP_ARCH_AARCH64" => 0xc000_00b7,
        "SCMP_ARCH_RISCV64" => 0xc000_00f3,
        _ => return None,
    })
}

/// `SCMP_ACT_*` of seccomp.h, which are the kernel's.
pub(crate) fn action(object: &Value, action: &str, errno: &str) -> Result<u32> {
    let errno = object[errno].as_u64().unwrap_or(1) as u32; // EPERM
    Ok(match object[action].as_str().context("an action")? {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        other => bail!("action {other}"),
    })
}

fn comparison(condition: &Value) -> Result<Comparison> {
    const WORDS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let word = condition["op"].as_str().and_then(|word| word.strip_prefix("SCMP_CMP_")).context("an operator")?;
    let operator = WORDS.iter().position(|known| *known == word).context("an operator")?;
    Ok(Comparison {
        argument: condition["index"].as_u64().context("an index")? as c_uint,
        operator: operator as c_int + 1,
        one: condition["value"].as_u64().context("a value")?,
        two: condition["valueTwo"].as_u64().unwrap_or(0),
    })
}

impl Libseccomp {
    /// `None` where it is not installed.
    pub fn open() -> Option<Libseccomp> {
        // SAFETY: its initialisers do nothing but set variables of its own.
        unsafe { Library::new("libseccomp.so.2") }.ok().map(Libseccomp)
    }

    /// The number that a call goes by, with its architecture's bit; negative where
    /// there is none.
    pub fn number(&self, architecture: u32, name: &str) -> Result<i32> {
        let name = CString::new(name)?;
        type Resolve = unsafe extern "C" fn(u32, *const c_char) -> c_int;
        // SAFETY: the type is that of seccomp_syscall_resolve_name_arch(3).
        let resolve: Symbol<Resolve> = unsafe { self.0.get(b"seccomp_syscall_resolve_name_arch") }?;
        // SAFETY: a C string that outlives the call.
        Ok(unsafe { resolve(architecture, name.as_ptr()) })
    }

    /// The program for a profile, `linux.seccomp` of a config.json; with `optimize`,
    /// as a binary tree. Without what runc puts before it for unknown calls.
    pub fn compile(&self, profile: &Value, optimize: bool) -> Result<Vec<Instruction>> {
        type Init = unsafe extern "C" fn(u32) -> *mut c_void;
        // SAFETY: the type is that of seccomp_init(3).
        let init: Symbol<Init> = unsafe { self.0.get(b"seccomp_init") }?;
        let default = action(profile, "defaultAction", "defaultErrnoRet")?;
        // SAFETY: takes an integer.
        let context = unsafe { init(default) };
        ensure!(!context.is_null(), "seccomp_init failed");
        let result = self.fill(context, default, profile, optimize).and_then(|()| self.export(context));
        type Release = unsafe extern "C" fn(*mut c_void);
        // SAFETY: the type is that of seccomp_release(3).
        let release: Symbol<Release> = unsafe { self.0.get(b"seccomp_release") }?;
        // SAFETY: made above, and not used again.
        unsafe { release(context) };
        result
    }

    fn fill(&self, context: *mut c_void, default: u32, profile: &Value, optimize: bool) -> Result<()> {
        type AddArchitecture = unsafe extern "C" fn(*mut c_void, u32) -> c_int;
        type SetAttribute = unsafe extern "C" fn(*mut c_void, c_int, u32) -> c_int;
        // SAFETY: the types are those of seccomp_arch_add(3) and seccomp_attr_set(3).
        let (add_architecture, set): (Symbol<AddArchitecture>, Symbol<SetAttribute>) =
            unsafe { (self.0.get(b"seccomp_arch_add")?, self.0.get(b"seccomp_attr_set")?) };
        if optimize {
            // SAFETY: a live context, and integers.
            let result = unsafe { set(context, OPTIMIZE, 2) };
            ensure!(result == 0, "seccomp_attr_set: {result}");
        }
        for name in profile["architectures"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let Some(architecture) = architecture(name) else { continue };
            // SAFETY: a live context, and an integer.
            let result = unsafe { add_architecture(context, architecture) };
            ensure!(result == 0 || result == -17, "seccomp_arch_add: {result}"); // EEXIST
        }
        for rule in profile["syscalls"].as_array().into_iter().flatten() {
            let answer = action(rule, "action", "errnoRet")?;
            if answer == default {
                continue; // runc leaves these out
            }
            let conditions = rule["args"].as_array().map(Vec::as_slice).unwrap_or_default();
            let comparisons = conditions.iter().map(comparison).collect::<Result<Vec<_>>>()?;
            let mut indexes: Vec<_> = comparisons.iter().map(|comparison| comparison.argument).collect();
            indexes.sort_unstable();
            let repeated = indexes.windows(2).any(|pair| pair[0] == pair[1]);
            for name in rule["names"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                // With one argument named twice runc makes a rule of each condition.
                match repeated {
                    true => comparisons.chunks(1).try_for_each(|one| self.add(context, answer, name, one))?,
                    false => self.add(context, answer, name, &comparisons)?,
                }
            }
        }
        Ok(())
    }

    fn add(&self, context: *mut c_void, answer: u32, name: &str, conditions: &[Comparison]) -> Result<()> {
        type Resolve = unsafe extern "C" fn(*const c_char) -> c_int;
        type Add = unsafe extern "C" fn(*mut c_void, u32, c_int, c_uint, *const Comparison) -> c_int;
        // SAFETY: the types are those of seccomp_syscall_resolve_name(3) and
        // seccomp_rule_add_array(3).
        let (resolve, add): (Symbol<Resolve>, Symbol<Add>) =
            unsafe { (self.0.get(b"seccomp_syscall_resolve_name")?, self.0.get(b"seccomp_rule_add_array")?) };
        let c_name = CString::new(name)?;
        // SAFETY: a C string that outlives the call.
        let number = unsafe { resolve(c_name.as_ptr()) };
        if number == -1 {
            return Ok(()); // __NR_SCMP_ERROR: unknown
        }
        // SAFETY: a live context; the conditions outlive the call, which copies them.
        let result = unsafe { add(context, answer, number, conditions.len() as c_uint, conditions.as_ptr()) };
        ensure!(result == 0, "seccomp_rule_add_array of {name}: {result}");
        Ok(())
    }

    fn export(&self, context: *mut c_void) -> Result<Vec<Instruction>> {
        type Export = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
        // SAFETY: the type is that of seccomp_export_bpf(3).
        let export: Symbol<Export> = unsafe { self.0.get(b"seccomp_export_bpf") }?;
        let mut file = tempfile::tempfile()?;
        // SAFETY: a live context, and a descriptor that outlives the call.
        let result = unsafe { export(context, file.as_raw_fd()) };
        ensure!(result == 0, "seccomp_export_bpf: {result}");
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
        Ok(words.map(Instruction::from_word).collect())
    }
}
