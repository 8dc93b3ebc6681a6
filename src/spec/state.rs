//! The state of a container: the document that `state`, `list` and hooks get
//! (runtime.md, "State"), and the record that we keep for ourselves.
//!
//! Where the record is kept, and what is true of a process, is not known here.

use super::record::{Map, OneOf, Pid, Strictness, WordSet, check};
use super::write::Json;
use crate::error::Result;
use crate::json::{Document, Text as Str};
use crate::record;
use crate::word_list;
use crate::word_list::WordList;

type Text = Str<'static>;

/// The state document, to be written: what the specification has, and what runc
/// adds to it.
#[derive(Clone, Copy)]
pub struct StateDocument<'a> {
    pub oci_version: &'a str,
    pub id: &'a str,
    /// In the caller's pid namespace; 0 once stopped.
    pub pid: i32,
    /// One of [`Statuses`].
    pub status: &'a str,
    /// Absolute.
    pub bundle: &'a str,
    /// Absolute.
    pub rootfs: &'a str,
    /// RFC 3339.
    pub created: &'a str,
    /// Left out where there are none.
    pub annotations: Map<'a, Text>,
    pub owner: &'a str,
}

impl<'a> StateDocument<'a> {
    /// Writes it into `buffer`; the number of bytes.
    ///
    /// # Errors
    /// Longer than the buffer, for which `limits::STATE` is always enough.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize> {
        Json::Object(&self.members()).write("the state document", buffer)
    }

    fn members(&self) -> [(&'static str, Json<'a>); 9] {
        [
            ("ociVersion", Json::Text(self.oci_version)),
            ("id", Json::Text(self.id)),
            ("pid", process_id(self.pid)),
            ("status", Json::Text(self.status)),
            ("bundle", Json::Text(self.bundle)),
            ("rootfs", Json::Text(self.rootfs)),
            ("created", Json::Text(self.created)),
            ("annotations", Json::Annotations(self.annotations)),
            ("owner", Json::Text(self.owner)),
        ]
    }

    /// Writes the container process state (config-linux.md, "The Container Process
    /// State") that goes with the listener of a seccomp filter on process `pid`.
    ///
    /// # Errors
    /// As [`StateDocument::write`].
    pub fn write_with_listener(&self, pid: i32, metadata: Option<Str<'_>>, buffer: &mut [u8]) -> Result<usize> {
        Json::Object(&[
            ("ociVersion", Json::Text(self.oci_version)),
            ("fds", Json::Words(word_list!("seccompFd"))),
            ("pid", process_id(pid)),
            ("metadata", metadata.map_or(Json::Text(""), |metadata| Json::Token(metadata.value()))),
            ("state", Json::Object(&self.members())),
        ])
        .write("the container process state", buffer)
    }
}

record! {
    /// The state document, read (runtime.md, "State").
    State {
        oci_version "ociVersion": Text, Required;
        id "id": Text, Required;
        status "status": OneOf<Statuses>, Required;
        pid "pid": u64;
        bundle "bundle": Text, Required;
        annotations "annotations": Map<'static, Text>;
    }
}

/// The statuses that the specification names.
pub struct Statuses;

impl WordSet for Statuses {
    const WORDS: WordList = word_list!("creating created running stopped");
}

/// What is on disk of a container, to be written. It is there before the first
/// effect in the kernel, and tells `delete` what to look for.
#[derive(Clone, Copy)]
pub struct StateRecord<'a> {
    pub oci_version: &'a str,
    pub id: &'a str,
    /// Absolute.
    pub bundle: &'a str,
    /// Absolute.
    pub rootfs: &'a str,
    /// RFC 3339, with nanoseconds.
    pub created: &'a str,
    pub owner: &'a str,
    /// Of the container's first process; 0 before it is born.
    pub pid: i32,
    /// Clock ticks since boot: field 22 of /proc/PID/stat (proc(5)).
    pub start_time: u64,
    /// /proc/sys/kernel/random/boot_id: start times of another boot mean nothing.
    pub boot_id: &'a str,
    /// st_ino of the process's pidfd (6.9 and newer); 0 is not known.
    pub pidfd_inode: u64,
    /// The process that is, or was, at work on `create`, or on the deletion.
    pub creator_pid: i32,
    pub creator_start_time: u64,
    /// One of [`RecordStatuses`].
    pub status: &'a str,
    /// Below the cgroup mount; "" is none.
    pub cgroup: &'a str,
    /// Whether it is ours: one that was there before is never killed or removed.
    pub cgroup_made: bool,
    /// How many components of its path were there before, from the mount down.
    pub cgroup_existing: u32,
    /// st_ino of its folder; 0 as long as it may not be there.
    pub cgroup_inode: u64,
    /// The number of the device program on a cgroup that is not ours, which is to
    /// be taken off again; 0: none.
    pub device_program: u32,
    /// That of the one which `update` is putting in its place; 0: none.
    pub device_program_next: u32,
    /// Whether its first process is PID 1 of a pid namespace that was made for it.
    pub own_pid_namespace: bool,
    /// Whether `start` opened the gate.
    pub started: bool,
    pub terminal: bool,
    /// Whether hooks have run or are to run: those of `poststop` too, then.
    pub hooks: bool,
    /// st_dev and st_ino of the file that the runtime ran from: as long as the first
    /// process does, it is not the user's program yet.
    pub executable: (u64, u64),
    /// Whether its processes have the session keyring of whoever starts them.
    pub no_new_keyring: bool,
}

impl<'a> StateRecord<'a> {
    /// What others get to see of it.
    pub fn document(&self, status: &'a str, pid: i32, annotations: Map<'a, Text>) -> StateDocument<'a> {
        StateDocument {
            oci_version: self.oci_version,
            id: self.id,
            pid,
            status,
            bundle: self.bundle,
            rootfs: self.rootfs,
            created: self.created,
            annotations,
            owner: self.owner,
        }
    }

    /// Writes it into `buffer`; the number of bytes.
    ///
    /// # Errors
    /// Longer than the buffer, for which `limits::RECORD` is enough as long as no
    /// path is longer than `limits::PATH`.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize> {
        Json::Object(&[
            ("ociVersion", Json::Text(self.oci_version)),
            ("id", Json::Text(self.id)),
            ("bundle", Json::Text(self.bundle)),
            ("rootfs", Json::Text(self.rootfs)),
            ("created", Json::Text(self.created)),
            ("owner", Json::Text(self.owner)),
            ("pid", process_id(self.pid)),
            ("startTime", Json::Number(self.start_time)),
            ("bootId", Json::Text(self.boot_id)),
            ("pidfdInode", Json::Number(self.pidfd_inode)),
            ("creatorPid", process_id(self.creator_pid)),
            ("creatorStartTime", Json::Number(self.creator_start_time)),
            ("status", Json::Text(self.status)),
            ("cgroup", Json::Text(self.cgroup)),
            ("cgroupMade", Json::Bool(self.cgroup_made)),
            ("cgroupExisting", Json::Number(self.cgroup_existing.into())),
            ("cgroupInode", Json::Number(self.cgroup_inode)),
            ("deviceProgram", Json::Number(self.device_program.into())),
            ("deviceProgramNext", Json::Number(self.device_program_next.into())),
            ("ownPidNamespace", Json::Bool(self.own_pid_namespace)),
            ("started", Json::Bool(self.started)),
            ("terminal", Json::Bool(self.terminal)),
            ("hooks", Json::Bool(self.hooks)),
            ("executableDevice", Json::Number(self.executable.0)),
            ("executableInode", Json::Number(self.executable.1)),
            ("noNewKeyring", Json::Bool(self.no_new_keyring)),
        ])
        .write("the state record", buffer)
    }
}

/// A process id, which is never negative: a record with such a one is not read.
fn process_id(pid: i32) -> Json<'static> {
    Json::Number(pid.unsigned_abs().into())
}

record! {
    /// The record, read: [`StateRecord`] says what the fields mean.
    RecordView {
        oci_version "ociVersion": Text, Required;
        id "id": Text, Required;
        bundle "bundle": Text, Required;
        rootfs "rootfs": Text, Required;
        created "created": Text, Required;
        owner "owner": Text, Required;
        pid "pid": Pid, Required;
        start_time "startTime": u64, Required;
        boot_id "bootId": Text, Required;
        pidfd_inode "pidfdInode": u64, Required;
        creator_pid "creatorPid": Pid, Required;
        creator_start_time "creatorStartTime": u64, Required;
        status "status": OneOf<RecordStatuses>, Required;
        cgroup "cgroup": Text, Required;
        cgroup_made "cgroupMade": bool, Required;
        cgroup_existing "cgroupExisting": u32, Required;
        cgroup_inode "cgroupInode": u64, Required;
        device_program "deviceProgram": u32, Required;
        device_program_next "deviceProgramNext": u32, Required;
        own_pid_namespace "ownPidNamespace": bool, Required;
        started "started": bool, Required;
        terminal "terminal": bool, Required;
        hooks "hooks": bool, Required;
        executable_device "executableDevice": u64;
        executable_inode "executableInode": u64;
        /// Absent in older records.
        no_new_keyring "noNewKeyring": bool;
    }
}

/// The statuses that are written down: `creating` until there is a process to
/// tell of, then `created`; or `starting` where its word to go was said before it
/// was ready (`run`); `deleting` while hooks run after its end. Whether it runs or
/// has stopped is asked of the kernel.
pub struct RecordStatuses;

impl WordSet for RecordStatuses {
    const WORDS: WordList = word_list!("creating created starting deleting");
}

impl<'a> RecordView<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(document: &'a Document<'a>) -> Result<RecordView<'a>> {
        check(document.root(), &<RecordView<'static> as super::record::Shape>::FORM, Strictness::Valid)?;
        Ok(RecordView::view(document.root()))
    }
}
