//! The power button, where the kernel offers it as an input device (a module, or
//! built in: CONFIG_ACPI_BUTTON and CONFIG_INPUT_EVDEV).

use crate::bytes::Printed;
use crate::sys::event::{PollFd, PollFlags};
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::{Errno, OwnedFd, io};

/// Input devices that are looked at: those that the kernel finds first.
const MOST: usize = 4;

/// The devices. All of them are read: which of them is a button does not matter.
pub struct PowerButton(heapless::Vec<OwnedFd, MOST>);

impl PowerButton {
    pub fn open() -> PowerButton {
        let mut devices = heapless::Vec::new();
        for number in 0..MOST {
            let path = Printed::<32>::of(format_args!("/dev/input/event{number}"));
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            match open(path.as_c_str(), flags, Mode::empty()) {
                Ok(device) => drop(devices.push(device)), // no more than there is room for
                Err(Errno::NOENT) => break,               // their numbers have no gaps at the start
                Err(_) => {}
            }
        }
        PowerButton(devices)
    }

    /// What to wait for.
    pub fn want<'a, const N: usize>(&'a self, wanted: &mut heapless::Vec<PollFd<'a>, N>) {
        wanted.extend(self.0.iter().map(|device| PollFd::new(device, PollFlags::IN)).take(MOST));
    }

    /// Whether it was pressed since the last time.
    pub fn was_pressed(&mut self) -> bool {
        /// `struct input_event` of linux/input.h: two words of time, the type, the
        /// code, the value.
        const SIZE: usize = 2 * size_of::<usize>() + 8;
        const EV_KEY: u8 = 1;
        const KEY_POWER: u8 = 116;
        let mut pressed = false;
        // One that is gone would wake us again and again.
        self.0.retain(|device| {
            let mut events = [0; 16 * SIZE];
            loop {
                let length = match io::read(device, &mut events) {
                    Ok(length @ 1..) => length,
                    Err(Errno::AGAIN | Errno::INTR) => return true,
                    Ok(_) | Err(_) => return false,
                };
                pressed |= events
                    .chunks_exact(SIZE)
                    .take(length / SIZE)
                    .any(|event| event.ends_with(&[EV_KEY, 0, KEY_POWER, 0, 1, 0, 0, 0]));
            }
        });
        pressed
    }
}
