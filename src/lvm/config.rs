use std::env;
use std::fs;
use std::path::Path;

/// Settings of our own, given with each command, and stronger than the host's lvm.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LvmConfig {
    udev: bool,
    extra: String,
}

/// Environment variable whose value is added to the settings, in the syntax of lvm.conf(5).
const EXTRA: &str = "GLUSTER_BDD_LVM_CONFIG";

impl LvmConfig {
    /// Settings for this host: udev is used when udevd runs, and not otherwise.
    pub fn detect() -> LvmConfig {
        LvmConfig {
            udev: Path::new("/run/udev/control").exists(),
            extra: env::var(EXTRA).unwrap_or_default(),
        }
    }

    /// Settings with or without udev and nothing else.
    pub fn new(udev: bool) -> LvmConfig {
        LvmConfig {
            udev,
            extra: String::new(),
        }
    }

    /// Adds settings in the syntax of lvm.conf(5), for example a device filter.
    ///
    /// The text must not hold single quotes or line breaks, which would end the argument.
    pub fn with(mut self, extra: &str) -> LvmConfig {
        self.extra = extra.to_owned();
        self
    }

    /// The value of `--config`; `None` if the added settings cannot be put on a command line.
    pub(crate) fn text(&self) -> Option<String> {
        if self.extra.contains(['\'', '\n', '\0']) {
            return None;
        }
        let udev = u8::from(self.udev);
        let mut text = format!(
            "backup{{backup=0 archive=0}} \
             activation{{monitoring=0 udev_sync={udev} udev_rules={udev} verify_udev_operations=0 \
             auto_activation_volume_list=[]}} \
             devices{{scan_lvs=0}} \
             global{{notify_dbus=0 use_lvmpolld=0}}"
        );
        if !self.udev {
            text.push_str(
                " devices/obtain_device_list_from_udev=0 \
                 devices/external_device_info_source=\"none\"",
            );
        }
        if !self.extra.is_empty() {
            text.push(' ');
            text.push_str(&self.extra);
        }
        Some(text)
    }
}

/// What is added for changes that suspend images and pools, and nothing else.
///
/// LVM sees to it that while a device is suspended nothing needs to be read from it: it locks
/// all memory of the process, after it has reserved some. In a server with many threads, the
/// stacks of which it would fill and lock, too, that takes longer than the change itself. Code
/// is locked as ever; memory that no file is behind can leave only for swap space, which may have
/// come since the last change.
pub(crate) fn light() -> &'static str {
    let swaps = fs::read_to_string("/proc/swaps");
    match swaps.map_or(true, |swaps| may_suspend(&swaps)) {
        true => "",
        false => {
            " activation/reserved_memory=0 activation/reserved_stack=0 \
             activation/mlock_filter=[\"00:00 0\"]"
        }
    }
}

/// Whether one of the swap spaces in the text of /proc/swaps may be on a logical volume: it is a
/// file, which may be anywhere, or a device of device-mapper.
fn may_suspend(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace();
        let (path, kind) = (words.next().unwrap_or_default(), words.next());
        kind != Some("partition")
            || path.starts_with("/dev/dm-")
            || path.starts_with("/dev/mapper/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_on_logical_volumes_is_seen() {
        let head = "Filename\tType\t\tSize\tUsed\tPriority\n";
        for (line, may) in [
            ("", false),
            ("/dev/sda2  partition 1000 0 -2\n", false),
            ("/dev/zram0 partition 1000 0 100\n", false),
            ("/dev/dm-1  partition 1000 0 -2\n", true),
            ("/dev/mapper/vg-swap partition 1000 0 -2\n", true),
            (
                "/dev/sda2 partition 1 0 -2\n/swap.img file 1000 0 -3\n",
                true,
            ),
        ] {
            assert_eq!(may_suspend(&format!("{head}{line}")), may, "{line}");
        }
    }

    #[test]
    fn udev_is_used_only_where_it_runs() {
        let with = LvmConfig::new(true).text().unwrap();
        assert!(
            with.contains("udev_sync=1") && !with.contains("obtain_device_list"),
            "{with}"
        );
        let without = LvmConfig::new(false).text().unwrap();
        assert!(without.contains("udev_sync=0 udev_rules=0"), "{without}");
        assert!(
            without.contains("obtain_device_list_from_udev=0"),
            "{without}"
        );
    }

    #[test]
    fn added_settings_cannot_end_the_argument() {
        let filter = "devices/filter=[\"a|^/dev/loop0$|\", \"r|.*|\"]";
        assert!(
            LvmConfig::new(false)
                .with(filter)
                .text()
                .unwrap()
                .ends_with(filter)
        );
        assert_eq!(LvmConfig::new(false).with("x='").text(), None);
    }
}
