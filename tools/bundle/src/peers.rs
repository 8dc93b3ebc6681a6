//! What other runtimes need in order to run on machines that lack something.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// prlimit64(2) and its resource RLIMIT_MEMLOCK.
const PRLIMIT64: i64 = 302;
const RLIMIT_MEMLOCK: u64 = 8;
/// capabilities(7)
const CAP_SYS_RESOURCE: u32 = 24;

/// Whether this process may raise hard resource limits.
fn may_raise_limits() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> CAP_SYS_RESOURCE & 1 == 1)
}

/// crun before 1.9 raises RLIMIT_MEMLOCK before it loads its device program
/// (kernels since 5.11 do not ask for it), and fails where it may not. There,
/// this thread and all that it starts are told that it succeeded: by a seccomp
/// filter, which costs each system call some tens of nanoseconds. Returns
/// whether that was done.
pub fn help(runtime: &Path) -> Result<bool> {
    if !cfg!(target_arch = "x86_64") || runtime.file_name().is_none_or(|name| name != "crun") || may_raise_limits() {
        return Ok(false);
    }
    let memlock = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, RLIMIT_MEMLOCK)?;
    let rules = BTreeMap::from([(PRLIMIT64, vec![SeccompRule::new(vec![memlock])?])]);
    // "Fails" with errno 0, which is success.
    let arch = std::env::consts::ARCH.try_into().context("an architecture that seccompiler does not know")?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(0), arch)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program).context("cannot load a seccomp filter")?;
    Ok(true)
}
