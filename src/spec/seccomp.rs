//! `linux.seccomp` (config-linux.md, "Seccomp").

use super::record::{Filled, List, OneOf, WordSet};
use crate::json::Text as Str;
use crate::record;
use crate::word_list;
use crate::word_list::WordList;

type Text = Str<'static>;

record! {
    /// `linux.seccomp`.
    Seccomp {
        default_action "defaultAction": OneOf<Actions>, Required;
        default_errno_ret "defaultErrnoRet": u32;
        architectures "architectures": List<'static, OneOf<Architectures>>;
        flags "flags": List<'static, OneOf<Flags>>;
        listener_path "listenerPath": Text;
        listener_metadata "listenerMetadata": Text;
        syscalls "syscalls": List<'static, Syscall<'static>>;
    }
}

record! {
    /// `linux.seccomp.syscalls[]`.
    Syscall {
        names "names": Filled<Text>, Required;
        action "action": OneOf<Actions>, Required;
        errno_ret "errnoRet": u32;
        args "args": List<'static, SyscallArg<'static>>;
    }
}

record! {
    /// `linux.seccomp.syscalls[].args[]`.
    SyscallArg {
        index "index": u32, Required;
        value_one "value": u64, Required;
        value_two "valueTwo": u64;
        op "op": OneOf<Operators>, Required;
    }
}

impl Seccomp<'_> {
    /// Whether somebody is to be asked about calls.
    pub fn notifies(&self) -> bool {
        self.syscalls().iter().any(|rule| rule.action().is_some_and(|action| action.is("SCMP_ACT_NOTIFY")))
    }
}

/// What becomes of a call (seccomp(2)).
pub struct Actions;

impl WordSet for Actions {
    const WORDS: WordList = word_list!(
        "SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL_THREAD SCMP_ACT_TRAP \
                               SCMP_ACT_ERRNO SCMP_ACT_TRACE SCMP_ACT_ALLOW SCMP_ACT_LOG SCMP_ACT_NOTIFY"
    );
}

/// How an argument is compared.
pub struct Operators;

impl WordSet for Operators {
    const WORDS: WordList = word_list!(
        "SCMP_CMP_NE SCMP_CMP_LT SCMP_CMP_LE SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT \
                               SCMP_CMP_MASKED_EQ"
    );
}

/// The flags of seccomp(2).
pub struct Flags;

impl WordSet for Flags {
    const WORDS: WordList = word_list!(
        "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG \
                               SECCOMP_FILTER_FLAG_SPEC_ALLOW SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
    );
}

impl Flags {
    /// Those that every kernel has that we run on; the last one is from 5.19.
    pub const OLD: WordList =
        word_list!("SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW");
}

/// The architectures whose calls a filter may speak of.
pub struct Architectures;

impl WordSet for Architectures {
    const WORDS: WordList = word_list!(
        "SCMP_ARCH_X86 SCMP_ARCH_X86_64 SCMP_ARCH_X32 SCMP_ARCH_ARM SCMP_ARCH_AARCH64 \
                               SCMP_ARCH_LOONGARCH64 SCMP_ARCH_M68K SCMP_ARCH_MIPS SCMP_ARCH_MIPS64 \
                               SCMP_ARCH_MIPS64N32 SCMP_ARCH_MIPSEL SCMP_ARCH_MIPSEL64 \
                               SCMP_ARCH_MIPSEL64N32 SCMP_ARCH_PPC SCMP_ARCH_PPC64 SCMP_ARCH_PPC64LE \
                               SCMP_ARCH_S390 SCMP_ARCH_S390X SCMP_ARCH_SH SCMP_ARCH_SHEB SCMP_ARCH_PARISC \
                               SCMP_ARCH_PARISC64 SCMP_ARCH_RISCV64"
    );
}
