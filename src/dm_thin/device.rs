use crate::StatusError;

/// An active device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmDevice {
    /// Major number of its node.
    pub major: u32,
    /// Minor number of its node.
    pub minor: u32,
    /// Its device-mapper name, as below /dev/mapper.
    pub name: String,
    /// Its device-mapper UUID; LVM's start with `LVM-`.
    pub uuid: String,
    /// How many have it open, tables of other devices included.
    pub open_count: u32,
    /// Whether I/O to it waits until it is resumed.
    pub suspended: bool,
}

/// Why device-mapper could not answer.
#[derive(Debug, thiserror::Error)]
pub enum DmError {
    /// There is no device-mapper, or it may not be used.
    #[error("cannot use device-mapper; load the dm-mod module and run as root")]
    Control(#[source] devicemapper::DmError),
    /// A question failed.
    #[error("cannot read the state of device {device}")]
    Ask {
        /// Its UUID or name.
        device: String,
        /// The cause.
        #[source]
        source: devicemapper::DmError,
    },
    /// A device could not be made.
    #[error("cannot make device {device}: {step} failed")]
    Make {
        /// Its name.
        device: String,
        /// What device-mapper was asked for.
        step: &'static str,
        /// The cause.
        #[source]
        source: devicemapper::DmError,
    },
    /// A pool did not take a message.
    #[error("pool {pool} does not take the message {message:?}")]
    Message {
        /// Its UUID.
        pool: String,
        /// The message.
        message: String,
        /// The cause.
        #[source]
        source: devicemapper::DmError,
    },
    /// The device has another target than was thought.
    #[error("device {device} is a {found} device, not {wanted}")]
    Target {
        /// Its UUID or name.
        device: String,
        /// What its table holds.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// It stays suspended.
    #[error(
        "device {device} is suspended; if no command of LVM is under way, resume it (dmsetup resume)"
    )]
    Suspended {
        /// Its UUID.
        device: String,
    },
    /// Its status cannot be read.
    #[error("cannot understand the state of device {device}")]
    Status {
        /// Its UUID or name.
        device: String,
        /// The cause.
        #[source]
        source: StatusError,
    },
}
