//! What the values come out as. Those of the first table are what runc 1.1.5 and
//! crun 1.8.1 were seen to write in a cgroup v2 tree with the same documents, but
//! for shares, whose formula both have changed since, and where it says so.

use super::*;
use crate::json::Document;
use crate::spec::load_resources;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// The lines: `file=text`, with a letter before those that are not plain.
fn converted(json: &str) -> Result<String, String> {
    converted_in(json, false)
}

fn converted_in(json: &str, zero_is_no_limit: bool) -> Result<String, String> {
    let document = Document::of("r", json.as_bytes()).unwrap();
    let resources = load_resources(&document).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    let done = lines(&Limits { resources, zero_is_no_limit }, &mut |line| {
        let how = match line.how {
            How::Must => "",
            How::IfThere => "?",
            How::Try => "~",
            How::Either => "|",
            How::Otherwise => "/",
            How::Second => "+",
        };
        all.push(format!("{how}{}={}", line.file.to_str().unwrap(), line.text));
        Ok(())
    });
    done.map(|()| all.join(" ; ")).map_err(|error| error.to_string())
}

#[test]
fn values_come_out_as_under_runc() {
    for (json, expected) in [
        (r#"{}"#, ""),
        (r#"{"memory":{},"cpu":{"shares":0},"blockIO":{"weight":0},"devices":[],"network":{}}"#, ""),
        (r#"{"memory":{"limit":67108864}}"#, "memory.max=67108864"),
        (
            r#"{"memory":{"limit":67108864,"swap":100663296,"reservation":33554432}}"#,
            "memory.swap.max=33554432 ; memory.max=67108864 ; memory.low=33554432",
        ),
        (r#"{"memory":{"limit":67108864,"swap":67108864}}"#, "?memory.swap.max=0 ; memory.max=67108864"),
        (r#"{"memory":{"limit":-1}}"#, "?memory.swap.max=max ; memory.max=max"),
        (r#"{"memory":{"limit":67108864,"swap":-1}}"#, "?memory.swap.max=max ; memory.max=67108864"),
        (r#"{"memory":{"limit":0,"swap":0,"reservation":0}}"#, ""),
        (r#"{"memory":{"reservation":-1}}"#, "memory.low=max"),
        (
            r#"{"memory":{"limit":4096,"kernel":1,"kernelTCP":1,"swappiness":10,"disableOOMKiller":true,
                "useHierarchy":true,"checkBeforeUpdate":true}}"#,
            "memory.max=4096",
        ),
        (r#"{"cpu":{"quota":50000}}"#, "cpu.max=50000"), // the period is 100000 in a new group
        (r#"{"cpu":{"period":50000}}"#, "+cpu.max=50000"), // behind the "max" of a new group
        (r#"{"cpu":{"quota":20000,"period":50000}}"#, "cpu.max=20000 50000"),
        (r#"{"cpu":{"quota":-1,"period":50000}}"#, "cpu.max=max 50000"),
        (r#"{"cpu":{"quota":-7}}"#, "cpu.max=max"),
        (
            r#"{"cpu":{"quota":20000,"period":50000,"burst":10000}}"#, // crun alone, of 1.8.1 on
            "~cpu.max.burst=10000 ; cpu.max=20000 50000 ; cpu.max.burst=10000",
        ),
        (r#"{"cpu":{"burst":0}}"#, "cpu.max.burst=0"),
        (r#"{"cpu":{"idle":1}}"#, "cpu.idle=1"),
        (r#"{"cpu":{"idle":1,"shares":1024}}"#, "cpu.idle=1"), // idle wins under crun too
        (r#"{"cpu":{"idle":0,"shares":1024}}"#, "cpu.idle=0 ; cpu.weight=100"),
        (r#"{"cpu":{"realtimeRuntime":1000,"realtimePeriod":100000}}"#, ""),
        (r#"{"cpu":{"cpus":"0-1","mems":"0"}}"#, "cpuset.cpus=0-1 ; cpuset.mems=0"),
        (r#"{"cpu":{"cpus":"","mems":""}}"#, ""),
        (r#"{"pids":{"limit":10}}"#, "pids.max=10"),
        (r#"{"pids":{"limit":0}}"#, "pids.max=1"),
        (r#"{"pids":{"limit":-1}}"#, "pids.max=max"),
        (r#"{"blockIO":{"weight":10}}"#, "|io.bfq.weight=10 ; /io.weight=1"),
        (r#"{"blockIO":{"weight":100}}"#, "|io.bfq.weight=100 ; /io.weight=910"),
        (r#"{"blockIO":{"weight":300}}"#, "|io.bfq.weight=300 ; /io.weight=2930"),
        (r#"{"blockIO":{"weight":500}}"#, "|io.bfq.weight=500 ; /io.weight=4950"),
        (r#"{"blockIO":{"weight":1000}}"#, "|io.bfq.weight=1000 ; /io.weight=10000"),
        (
            // runc leaves io.weight of a device alone.
            r#"{"blockIO":{"weightDevice":[{"major":254,"minor":0,"weight":500},{"major":8,"minor":1,"leafWeight":9}]}}"#,
            "|io.bfq.weight=254:0 500 ; /io.weight=254:0 4950",
        ),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":254,"minor":0,"rate":1048576}],
                "throttleWriteBpsDevice":[{"major":254,"minor":0,"rate":2097152}],
                "throttleReadIOPSDevice":[{"major":254,"minor":0,"rate":100}],
                "throttleWriteIOPSDevice":[{"major":254,"minor":0,"rate":18446744073709551615}]}}"#,
            "io.max=254:0 rbps=1048576 ; io.max=254:0 wbps=2097152 ; io.max=254:0 riops=100 ; \
             io.max=254:0 wiops=18446744073709551615",
        ),
        // Under the others the kernel refuses a zero.
        (r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":0}]}}"#, "io.max=8:0 rbps=max"),
        (
            // runc since 1.2 writes the second too.
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#,
            "hugetlb.2MB.max=4194304 ; ?hugetlb.2MB.rsvd.max=4194304",
        ),
        (r#"{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":5}]}}"#, ""),
        (r#"{"rdma":{"mlx5_0":{"hcaHandles":3,"hcaObjects":4}}}"#, "rdma.max=mlx5_0 hca_handle=3 hca_object=4"),
        (r#"{"rdma":{"a":{"hcaObjects":4},"b":{}}}"#, "rdma.max=a hca_object=4"),
        (
            r#"{"unified":{"memory.high":"33554432","io.weight":"200","cgroup.max.depth":"3"},"pids":{"limit":7}}"#,
            "pids.max=7 ; memory.high=33554432 ; io.weight=200 ; cgroup.max.depth=3",
        ),
        (r#"{"unified":{"cgroup.pressure":"0","cgroup.later":"x"}}"#, "cgroup.pressure=0 ; cgroup.later=x"),
        (r#"{"unified":{"memory.max":"1\n2"},"memory":{"limit":3}}"#, "memory.max=3 ; memory.max=1\n2"),
    ] {
        assert_eq!(converted(json).as_deref(), Ok(expected), "{json}");
    }
}

#[test]
fn zero_processes_were_no_limit_before_version_1_3() {
    for (json, expected) in [
        (r#"{"pids":{"limit":0}}"#, "pids.max=max"),
        (r#"{"pids":{"limit":1}}"#, "pids.max=1"),
        (r#"{"pids":{"limit":-1}}"#, "pids.max=max"),
        (r#"{"cpu":{"idle":0}}"#, "cpu.idle=0"),
    ] {
        assert_eq!(converted_in(json, true).as_deref(), Ok(expected), "{json}");
    }
}

#[test]
fn what_makes_no_sense_is_an_error_at_its_place() {
    let long = format!(r#"{{"unified":{{"memory.high":"{}"}}}}"#, "1".repeat(limits::CGROUP_LINE));
    for (json, expected) in [
        (r#"{"memory":{"swap":67108864}}"#, "r:1:19: memory.swap: includes the memory, so it needs"),
        (r#"{"memory":{"limit":-1,"swap":5}}"#, "memory.swap: includes the memory, so it needs"),
        (r#"{"memory":{"limit":67108864,"swap":1048576}}"#, "memory.swap: includes the memory, so it cannot be less"),
        (r#"{"memory":{"limit":-5}}"#, "memory.limit: expected an integer from -1 to"),
        (r#"{"memory":{"reservation":-2}}"#, "memory.reservation: expected"),
        (r#"{"memory":{"swap":-2}}"#, "memory.swap: expected"),
        (r#"{"pids":{"limit":-2}}"#, "pids.limit: expected an integer from -1 to"),
        (r#"{"cpu":{"quota":999}}"#, "cpu.quota: less than the least that the kernel takes, 1000"),
        (r#"{"cpu":{"period":999}}"#, "cpu.period: less than the least"),
        (r#"{"cpu":{"period":1000001}}"#, "cpu.period: expected an integer from 0 to 1000000"),
        (r#"{"cpu":{"quota":5000,"burst":5001}}"#, "cpu.burst: more than \"quota\""),
        (r#"{"cpu":{"idle":2}}"#, "cpu.idle: expected an integer from 0 to 1"),
        (r#"{"cpu":{"cpus":"0-"}}"#, "cpu.cpus: expected a list of numbers"),
        (r#"{"cpu":{"mems":"3-1"}}"#, "cpu.mems: expected a list of numbers"),
        (r#"{"blockIO":{"weight":9}}"#, "blockIO.weight: expected an integer from 10 to 1000"),
        (r#"{"blockIO":{"weight":1001}}"#, "blockIO.weight: expected an integer from 0 to 1000"),
        (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":5}]}}"#, "weightDevice[0].weight: expected"),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":-1,"minor":0}]}}"#,
            "throttleReadBpsDevice[0].major: expected",
        ),
        (r#"{"unified":{"a/b":"1"}}"#, "unified.a/b: expected the name of a controller's file"),
        (r#"{"unified":{"../memory.max":"1"}}"#, "expected the name of a controller's file"),
        (r#"{"unified":{"..":"1"}}"#, "expected the name of a controller's file"),
        (r#"{"unified":{"nodot":"1"}}"#, "expected the name of a controller's file"),
        (r#"{"unified":{".hidden":"1"}}"#, "expected the name of a controller's file"),
        (r#"{"unified":{"cgroup.procs":"1"}}"#, "unified.cgroup.procs: cgroup.procs is written by the runtime alone"),
        (r#"{"unified":{"cgroup.threads":"1"}}"#, "written by the runtime alone"),
        (r#"{"unified":{"cgroup.kill":"1"}}"#, "written by the runtime alone"),
        (r#"{"unified":{"cgroup.freeze":"1"}}"#, "written by the runtime alone"),
        (r#"{"unified":{"cgroup.subtree_control":"+pids"}}"#, "written by the runtime alone"),
        (r#"{"unified":{"cgroup.type":"threaded"}}"#, "written by the runtime alone"),
        (long.as_str(), "unified.memory.high: more than a cgroup's file takes: 4095 bytes"),
    ] {
        let said = converted(json).unwrap_err();
        assert!(said.contains(expected), "{json}: {said}");
    }
}

#[test]
fn lists_as_cpuset_has_them() {
    for (list, right) in [
        ("0", true),
        ("0-4,9", true),
        ("0-2,7,12-14", true),
        ("3-3", true),
        ("", false),
        (",", false),
        ("0,", false),
        ("-1", false),
        ("0--1", false),
        ("0-1-2", false),
        ("4-2", false),
        ("0 1", false),
        ("all", false),
    ] {
        let text = format!("\"{list}\"");
        let document = Document::of("t", text.as_bytes()).unwrap();
        assert_eq!(is_list(document.root().as_text().unwrap()), right, "{list}");
    }
}

#[test]
fn what_has_no_counterpart_is_told() {
    let text = r#"{"memory":{"limit":4096,"kernel":5,"kernelTCP":0,"swappiness":60,"disableOOMKiller":true},
        "cpu":{"realtimeRuntime":7},"network":{"classID":0,"priorities":[{"name":"lo","priority":1}]},
        "blockIO":{"weightDevice":[{"major":7,"minor":0,"weight":50},{"major":7,"minor":0,"leafWeight":50}]}}"#;
    let document = Document::of("r", text.as_bytes()).unwrap();
    let mut all = Vec::new();
    ignored(&load_resources(&document).unwrap(), &mut |text| all.push(text.to_string()));
    let names: Vec<&str> = all.iter().filter_map(|text| text.split(": ").nth(1)).collect();
    assert_eq!(
        names,
        [
            "memory.kernel",
            "memory.swappiness",
            "memory.disableOOMKiller",
            "cpu.realtimeRuntime",
            "network.priorities",
            "blockIO.weightDevice[1].leafWeight"
        ]
    );
}

#[test]
fn a_file_belongs_to_a_controller() {
    assert_eq!(controller(c"memory.swap.max"), b"memory");
    assert_eq!(controller(c"cgroup.max.depth"), b"cgroup");
}
