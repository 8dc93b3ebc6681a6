//! The virtual machines: what QEMU is told for each, and the kernel's command
//! line that goes with it.

use std::time::{Duration, Instant};

use super::sys;

/// Which machine QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Machine {
    /// A PC with PCI Express
    Q35,
    /// The smallest: virtio over MMIO, no PCI
    Microvm,
}

/// How the guest's instructions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// KVM where a guest was seen to run under it, else TCG
    Auto,
    Kvm,
    /// Emulation
    Tcg,
}

impl Machine {
    pub fn name(self) -> &'static str {
        match self {
            Machine::Q35 => "q35",
            Machine::Microvm => "microvm",
        }
    }

    /// The name of a virtio device: `virtio-serial-pci`.
    pub fn device(self, kind: &str) -> String {
        match self {
            Machine::Q35 => format!("{kind}-pci"),
            Machine::Microvm => format!("{kind}-device"),
        }
    }

    /// The kernel module behind these devices.
    pub fn transport(self) -> &'static str {
        match self {
            Machine::Q35 => "virtio_pci",
            Machine::Microvm => "virtio_mmio",
        }
    }

    /// How many virtio devices it has room for.
    pub fn devices(self) -> usize {
        match self {
            Machine::Q35 => 24,
            Machine::Microvm => 8,
        }
    }

    /// QEMU's arguments for machine, processor and nothing else that is not asked for.
    pub fn arguments(self, accel: Accel, memory: u64, cpus: u32) -> Vec<String> {
        let kvm = accel == Accel::Kvm;
        let words = [
            "-M",
            self.name(),
            "-accel",
            if kvm { "kvm" } else { "tcg,thread=multi" },
            // TCG emulates five-level page tables, slowly; and strings of bytes byte by
            // byte, which kernels zero and copy pages with where they are fast.
            "-cpu",
            if kvm { "host" } else { "max,la57=off,erms=off,fsrm=off" },
            "-m",
            &format!("{memory}M"),
            "-smp",
            &cpus.to_string(),
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            // A reset is the end: of a panic, too.
            "-no-reboot",
        ];
        let mut words = words.map(String::from).to_vec();
        if self == Machine::Microvm {
            // virtio 1 over MMIO; virtiofsd knows nothing older.
            words.extend(["-global", "virtio-mmio.force-legacy=false"].map(String::from));
        }
        words
    }

    /// The words of the kernel's line that this machine needs.
    pub fn kernel_words(self, accel: Accel) -> Vec<String> {
        let mut words = vec!["console=ttyS0".into(), "panic=-1".into(), "reboot=t".into()];
        if accel != Accel::Kvm {
            // They cost time and protect nothing that is emulated.
            words.push("mitigations=off".into());
            if self == Machine::Microvm {
                // It has no clock by which a kernel could measure the time-stamp
                // counter, and without that no timer. Under TCG it is the host's.
                words.push(format!("tsc_early_khz={}", time_stamp_khz()));
            }
        }
        words
    }
}

/// The frequency of the host's time-stamp counter in kHz, measured.
fn time_stamp_khz() -> u64 {
    let (start, counter) = (Instant::now(), sys::time_stamp());
    std::thread::sleep(Duration::from_millis(20));
    let (ticks, time) = (sys::time_stamp().wrapping_sub(counter), start.elapsed());
    u64::try_from(u128::from(ticks) * 1_000_000 / time.as_nanos().max(1)).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_of_this_age() {
        let khz = time_stamp_khz();
        assert!((100_000..20_000_000).contains(&khz), "{khz} kHz");
    }

    #[test]
    fn words_for_each() {
        let microvm = Machine::Microvm.kernel_words(Accel::Tcg);
        assert!(microvm.iter().any(|word| word.starts_with("tsc_early_khz=")));
        assert!(!Machine::Q35.kernel_words(Accel::Tcg).iter().any(|word| word.starts_with("tsc_")));
        assert!(!Machine::Microvm.kernel_words(Accel::Kvm).iter().any(|word| word.starts_with("tsc_")));
        assert_eq!(Machine::Microvm.device("virtio-serial"), "virtio-serial-device");
    }
}
