//! Images that the host could get hold of: their bytes are those of guests.

use super::Found;
use crate::CliError;
use crate::storage::{ImageVolume, image_volumes, own_view, scans_volumes};

pub(super) fn findings() -> Result<Vec<Found>, CliError> {
    let images = image_volumes()?;
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    if scans_volumes() {
        found.push(Found::new(
            "scan_lvs",
            "LVM looks for physical volumes inside logical volumes, and so inside images, where \
             they are those of guests"
                .to_owned(),
            "set devices/scan_lvs=0 in lvm.conf",
        ));
    }
    let visible = own_view()?;
    found.extend(images.iter().filter_map(|image| guest(image, &visible)));
    found.extend(activated(&images));
    Ok(found)
}

/// A physical volume that the host's LVM sees on an image: its path and its group.
fn guest(image: &ImageVolume, visible: &[(String, String)]) -> Option<Found> {
    let (path, vg) = visible
        .iter()
        .find(|(path, _)| *path == image.path || *path == image.dm_path)?;
    let of = match vg.as_str() {
        "" => String::new(),
        vg => format!(" of volume group {vg}"),
    };
    Some(Found::new(
        "guest_pv",
        format!(
            "this host sees the physical volume{of} that a guest has made on its image {}/{}, and \
             its LVM commands can change it",
            image.vg, image.lv
        ),
        format!(
            "set devices/scan_lvs=0 in lvm.conf, or reject {path} by devices/global_filter there"
        ),
    ))
}

/// Images that the host activates at its start, a finding for each group.
fn activated(images: &[ImageVolume]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut groups: Vec<&str> = images.iter().map(|image| image.vg.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    for vg in groups {
        let of_group = images.iter().filter(|i| i.vg == vg && i.autoactivated());
        let paths: Vec<String> = of_group.map(|i| format!("{vg}/{}", i.lv)).collect();
        if let Some(first) = paths.first() {
            let cause = match paths.len() {
                1 => format!("image {first} is activated when the host starts"),
                n => {
                    format!("{n} images of {vg} are activated when the host starts, {first} first")
                }
            };
            let mut words = vec!["lvchange", "--setautoactivation", "n"];
            words.extend(paths.iter().map(String::as_str));
            found.push(Found::mended_by("autoactivation", cause, &words));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(lv: &str, auto: bool, skip: bool) -> ImageVolume {
        ImageVolume {
            vg: "vg0".to_owned(),
            lv: lv.to_owned(),
            tags: "gluster_bd.gfid=07070707-0707-0707-0707-070707070707".to_owned(),
            path: format!("/dev/vg0/{lv}"),
            dm_path: format!("/dev/mapper/vg0-{lv}"),
            autoactivation: auto,
            skip_activation: skip,
        }
    }

    #[test]
    fn images_that_a_start_activates_are_one_finding() {
        assert_eq!(
            activated(&[image("a", true, true), image("b", false, false)]),
            []
        );
        let found = activated(&[image("a", true, false), image("b", true, false)]);
        assert_eq!(found.len(), 1);
        let finding = found[0].clone().settle(false);
        assert_eq!(
            finding.message,
            "2 images of vg0 are activated when the host starts, vg0/a first; run: lvchange \
             --setautoactivation n vg0/a vg0/b"
        );
    }

    #[test]
    fn a_guests_physical_volume_is_named() {
        let images = image("a", false, true);
        let seen = |path: &str| guest(&images, &[(path.to_owned(), "guest".to_owned())]);
        assert_eq!(seen("/dev/sda"), None);
        for path in ["/dev/vg0/a", "/dev/mapper/vg0-a"] {
            let text = seen(path).unwrap().settle(true).message;
            assert!(
                text.contains("of volume group guest") && text.contains(path),
                "{text}"
            );
        }
    }
}
