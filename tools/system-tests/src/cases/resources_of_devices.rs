//! Limits that name a device: those of block devices read from the cgroup's own
//! files, those of RDMA adapters seen at the system call.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::json;
use tracer::End;

use super::resources::{ALL, expect, file, folder, sleeper};
use crate::case::Need;
use crate::context::Context;
use crate::harness::Skip;
use crate::kernel;
use crate::traced::{WRITE, calls, text_of};

cases!("resources":
    block_devices [ALL, Need::Path("/sys/block/loop0")] proves [
        "linux.resources.blockIO.throttleReadBpsDevice[].major",
        "linux.resources.blockIO.throttleReadBpsDevice[].minor",
        "linux.resources.blockIO.throttleReadBpsDevice[].rate",
        "linux.resources.blockIO.throttleReadIOPSDevice[].major",
        "linux.resources.blockIO.throttleReadIOPSDevice[].minor",
        "linux.resources.blockIO.throttleReadIOPSDevice[].rate",
        "linux.resources.blockIO.throttleWriteBpsDevice[].major",
        "linux.resources.blockIO.throttleWriteBpsDevice[].minor",
        "linux.resources.blockIO.throttleWriteBpsDevice[].rate",
        "linux.resources.blockIO.throttleWriteIOPSDevice[].major",
        "linux.resources.blockIO.throttleWriteIOPSDevice[].minor",
        "linux.resources.blockIO.throttleWriteIOPSDevice[].rate",
    ],
    weights_of_block_devices [ALL, Need::Path("/sys/block/loop0")] proves [
        "linux.resources.blockIO.weight", "linux.resources.blockIO.weightDevice[].major",
        "linux.resources.blockIO.weightDevice[].minor", "linux.resources.blockIO.weightDevice[].weight",
    ],
    rdma_is_asked_of_the_kernel [Need::Controller("rdma")] proves [
        "linux.resources.rdma.*.hcaHandles", "linux.resources.rdma.*.hcaObjects",
    ],
);

fn block_devices(c: &Context) -> Result<()> {
    let numbers = fs::read_to_string("/sys/block/loop0/dev")?;
    let (major, minor) = numbers.trim().split_once(':').context("the numbers of loop0")?;
    let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let resources = json!({"blockIO": {
        "throttleReadBpsDevice": device(1_048_576),
        "throttleWriteBpsDevice": device(2_097_152),
        "throttleReadIOPSDevice": device(100),
        "throttleWriteIOPSDevice": device(200),
    }});
    let line = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200");
    expect(c, resources, &[("io.max", &line)])?;
    let resources = json!({"blockIO": {"throttleReadIOPSDevice": device(100), "throttleWriteIOPSDevice": device(0)}});
    let line = format!("{major}:{minor} rbps=max wbps=max riops=100 wiops=max");
    expect(c, resources, &[("io.max", &line)])?;
    // A device's own weight: kept where something schedules by weights, else told.
    let resources = json!({"blockIO": {"weightDevice": [{"major": major, "minor": minor, "weight": 400}]}});
    c.write(&sleeper(resources))?;
    let id = c.id();
    let output = c.call(&["run", "--detach", &id])?.ok()?;
    let folder = folder(c, &id)?;
    let weights = ["io.bfq.weight", "io.weight"].map(|name| file(&folder, name).unwrap_or_default()).join("\n");
    let is_told = output.stderr.contains("weightDevice[0].weight: ignored: no scheduler with weights");
    let own = format!("{major}:{minor} ");
    ensure!(is_told != weights.contains(&own), "{weights:?} {:?}", output.stderr);
    c.delete(&id)
}

/// With a controller of costs, which is turned on for a device of the guest alone.
fn weights_of_block_devices(c: &Context) -> Result<()> {
    if std::env::var_os("SYSTEM_TESTS_GUEST").is_none() {
        return Err(Skip("changes how a device of the machine is scheduled: only in the guest".into()).into());
    }
    let device = fs::read_to_string("/sys/block/loop0/dev")?.trim().to_owned();
    let (major, minor) = device.split_once(':').context("the numbers of loop0")?;
    let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
    let costs = kernel::cgroup_root().join("io.cost.qos");
    fs::write(&costs, format!("{device} enable=1")).context("cannot turn io.cost.qos on")?;
    let weights = json!([{"major": major, "minor": minor, "weight": 400}]);
    let tried = expect(
        c,
        json!({"blockIO": {"weight": 10, "weightDevice": weights}}),
        &[("io.weight", &format!("default 1\n{device} 3940"))],
    );
    fs::write(&costs, format!("{device} enable=0"))?;
    tried
}

/// Adapters are rare: what the kernel is asked for is seen at the system call. It
/// reads the whole line before it looks for the adapter (kernel/cgroup/rdma.c), and
/// refuses one that it does not understand by another errno.
fn rdma_is_asked_of_the_kernel(c: &Context) -> Result<()> {
    for (name, line) in [("ocinit_0", "ocinit_0 hca_handle=3 hca_object=4"), ("ocinit_1", "ocinit_1 hca_object=9")] {
        let limits = json!({"ocinit_0": {"hcaHandles": 3, "hcaObjects": 4}, "ocinit_1": {"hcaObjects": 9}});
        let config = sleeper(json!({"rdma": {name: limits[name]}}));
        c.write(&config)?;
        let id = c.id();
        let (calls, end) = calls(c.command(&["create", &id]), WRITE, |tid, arguments| {
            text_of(tid, arguments[1], arguments[2]).is_ok_and(|text| text == line)
        })?;
        let answers: Vec<i64> = calls.iter().map(|call| call.answer).collect();
        same!(answers, [-i64::from(Errno::NODEV.raw_os_error())], "what the kernel says to {line:?}");
        same!(end, End::Status(1), "how create ended");
        let parts = [&format!("linux.resources.rdma.{name}"), line, "no such device"];
        c.run(&config)?.error(1, &parts)?;
    }
    Ok(())
}
