//! `linux.resources` (config-linux.md, "Control groups"); also the file of
//! `update --resources`.

use super::record::{List, Map, Matching, Pattern, RuleNumber};
use super::strings::{RuleAccess, RuleKind};
use crate::json::Text as Str;
use crate::record;

type Text = Str<'static>;

record! {
    /// `linux.resources`.
    Resources {
        devices "devices": List<'static, DeviceRule<'static>>;
        memory "memory": Memory<'static>;
        cpu "cpu": Cpu<'static>;
        pids "pids": Pids<'static>;
        block_io "blockIO": BlockIo<'static>;
        hugepage_limits "hugepageLimits": List<'static, HugepageLimit<'static>>;
        network "network": Network<'static>;
        rdma "rdma": Map<'static, Rdma<'static>>;
        /// Files of cgroup v2 and what to write into them.
        unified "unified": Map<'static, Text>;
    }
}

record! {
    /// `devices[]`: what the device program allows; a later rule wins.
    DeviceRule {
        allow "allow": bool, Required;
        /// `a` (all, the default), `c` or `b`.
        kind "type": Matching<RuleKind>;
        /// Absent or -1: any.
        major "major": RuleNumber;
        minor "minor": RuleNumber;
        /// Letters of `rwm`; absent: all of them.
        access "access": Matching<RuleAccess>;
    }
}

record! {
    /// `memory`, in bytes; -1 is no limit.
    Memory {
        limit "limit": i64;
        reservation "reservation": i64;
        swap "swap": i64;
        kernel "kernel": i64;
        kernel_tcp "kernelTCP": i64;
        swappiness "swappiness": u64;
        disable_oom_killer "disableOOMKiller": bool;
        use_hierarchy "useHierarchy": bool;
        check_before_update "checkBeforeUpdate": bool;
    }
}

record! {
    /// `cpu`; times in microseconds.
    Cpu {
        shares "shares": u64;
        quota "quota": i64;
        burst "burst": u64;
        period "period": u64;
        realtime_runtime "realtimeRuntime": i64;
        realtime_period "realtimePeriod": u64;
        cpus "cpus": Text;
        mems "mems": Text;
        idle "idle": i64;
    }
}

record! {
    /// `pids`.
    Pids {
        limit "limit": i64, Required;
    }
}

record! {
    /// `blockIO`; weights 10 to 1000, rates in bytes or operations a second.
    BlockIo {
        weight "weight": u16;
        leaf_weight "leafWeight": u16;
        weight_device "weightDevice": List<'static, WeightDevice<'static>>;
        throttle_read_bps_device "throttleReadBpsDevice": List<'static, ThrottleDevice<'static>>;
        throttle_write_bps_device "throttleWriteBpsDevice": List<'static, ThrottleDevice<'static>>;
        throttle_read_iops_device "throttleReadIOPSDevice": List<'static, ThrottleDevice<'static>>;
        throttle_write_iops_device "throttleWriteIOPSDevice": List<'static, ThrottleDevice<'static>>;
    }
}

record! {
    /// `blockIO.weightDevice[]`.
    WeightDevice {
        major "major": i64, Required;
        minor "minor": i64, Required;
        weight "weight": u16;
        leaf_weight "leafWeight": u16;
    }
}

record! {
    /// `blockIO.throttle…Device[]`.
    ThrottleDevice {
        major "major": i64, Required;
        minor "minor": i64, Required;
        rate "rate": u64;
    }
}

record! {
    /// `hugepageLimits[]`, in bytes.
    HugepageLimit {
        page_size "pageSize": Matching<PageSize>, Required;
        limit "limit": u64, Required;
    }
}

/// A size as the hugetlb controller's files have it in their names.
pub struct PageSize;

impl Pattern for PageSize {
    const SAYS: &'static str = "a page size such as \"2MB\"";
    fn holds(text: Str<'_>) -> bool {
        let mut unit = text.bytes().skip_while(u8::is_ascii_digit);
        matches!(text.bytes().next(), Some(b'1'..=b'9'))
            && matches!((unit.next(), unit.next(), unit.next()), (Some(b'K' | b'M' | b'G'), Some(b'B'), None))
    }
}

record! {
    /// `network`: classes of cgroup v1.
    Network {
        class_id "classID": u32;
        priorities "priorities": List<'static, InterfacePriority<'static>>;
    }
}

record! {
    /// `network.priorities[]`.
    InterfacePriority {
        name "name": Text, Required;
        priority "priority": u32, Required;
    }
}

record! {
    /// A member of `rdma`.
    Rdma {
        hca_handles "hcaHandles": u32;
        hca_objects "hcaObjects": u32;
    }
}
