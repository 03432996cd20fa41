//! What is wrong with what the bricks have.

use super::bricks::{Group, Kind};
use super::seen::Seen;
use crate::health::Found;
use crate::volfile::Volfile;

/// The release of this command.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Options of a volume under which images are not what they should be.
pub(super) fn options(volume: &str, volfile: &Volfile) -> Vec<Found> {
    let has = |kind: &str| volfile.blocks.iter().any(|block| block.kind == kind);
    let mut found = Vec::new();
    if !has("features/bd-client") {
        found.push(Found::new(
            "no_client",
            format!("clients of volume {volume} lack bd-client: links are no copies there"),
            format!("run: gluster volume set {volume} user.bd on"),
        ));
    }
    if has("features/shard") {
        found.push(Found::new(
            "option",
            format!("volume {volume} has features.shard on: each piece of an image is an image"),
            format!("run: gluster volume set {volume} features.shard off"),
        ));
    }
    found
}

/// Bricks that do not answer, serve no images, or are out of step with each other.
pub(super) fn bricks(volume: &str, groups: &[Group]) -> Vec<Found> {
    let mut found = Vec::new();
    let bricks = || groups.iter().flat_map(|group| &group.bricks);
    for brick in bricks() {
        let name = &brick.name;
        if let Some(cause) = &brick.away {
            let host = name
                .split_once(":/")
                .map_or(name.as_str(), |(host, _)| host);
            found.push(Found::new(
                "host_away",
                format!(
                    "host {host} does not answer ({cause}), and its brick {name} of volume {volume} is not \
                     checked"
                ),
                "start it and its glusterd, or mend its network; see: gluster peer status",
            ));
            continue;
        }
        match &brick.release {
            _ if brick.files.is_none() => found.push(Found::new(
                "brick_away",
                format!("brick {name} of volume {volume} does not answer, and is not checked"),
                format!("see gluster volume status {volume} and the brick's log"),
            )),
            None if !brick.is_arbiter => found.push(Found::new(
                "idle_brick",
                format!(
                    "brick {name} of volume {volume} serves no images: new files there are plain"
                ),
                "make it a brick of gluster-bd (gluster-bd brick init on its host, then stop and \
                 start the volume) or take it out of the volume (gluster volume remove-brick)",
            )),
            Some(release) if release != RELEASE => found.push(Found::new(
                "version",
                format!(
                    "the release of gluster-bd here is {RELEASE}, and brick {name} runs {release}"
                ),
                "install one release on all hosts, and restart the bricks",
            )),
            Some(_) if !brick.has_server => found.push(Found::new(
                "no_server",
                format!("gluster-bdd does not answer brick {name} of volume {volume}"),
                "run on its host: systemctl start gluster-bdd",
            )),
            _ => {}
        }
    }
    let mut first: Option<(&String, &String)> = None;
    for brick in bricks() {
        let Some(top) = &brick.top else { continue };
        match first {
            None => first = Some((top, &brick.name)),
            Some((other, at)) if other != top => found.push(Found::new(
                "top",
                format!(
                    "the image directory is /{top} on brick {} and /{other} on {at}",
                    brick.name
                ),
                "make the volume anew with bricks of one gluster-bd brick init --top NAME",
            )),
            Some(_) => {}
        }
    }
    found
}

/// What does not agree at a path, where each brick that answers has told what it has, and the arbiter has the same
/// file under the path `twin`.
pub(super) fn path(
    volume: &str,
    group: &Group,
    path: &str,
    seen: &[Option<Option<Seen>>],
    twin: Option<&str>,
) -> Vec<Found> {
    let have: Vec<(usize, &Seen)> = seen
        .iter()
        .enumerate()
        .filter_map(|(number, seen)| Some((number, seen.as_ref()?.as_ref()?)))
        .collect();
    let Some(&(first, reference)) = have.first() else {
        return Vec::new();
    };
    let name = |number: usize| group.bricks[number].name.as_str();
    let blamed: Vec<(usize, usize)> = have
        .iter()
        .flat_map(|(number, seen)| seen.blamed.iter().map(|blamed| (*number, *blamed)))
        .filter(|(number, blamed)| number != blamed && *blamed < group.bricks.len())
        .collect();
    if let Some((says, blamed)) = blamed.first() {
        // All else comes with it.
        return vec![Found::new(
            "to_heal",
            format!(
                "{} misses changes of {volume}:{path}, says {}",
                name(*blamed),
                name(*says)
            ),
            format!("run: gluster volume heal {volume}; gluster volume heal {volume} info"),
        )];
    }
    let heal = format!("run: gluster volume heal {volume} full");
    let mut found = Vec::new();
    let missing = |number: &usize| matches!(seen[*number], Some(None));
    let is_alone =
        group.bricks[first].is_arbiter && (0..seen.len()).all(|n| n == first || missing(&n));
    if let (Some(twin), true) = (twin, is_alone) {
        return vec![Found::new(
            "old_name",
            format!(
                "{volume}:{path} is an old name of {volume}:{twin}, which heal has left on the arbiter {}",
                name(first)
            ),
            format!("remove {path} through a mount of the volume (rm): {twin} and its bytes stay"),
        )];
    }
    if let Some(number) = (0..seen.len()).find(missing) {
        let cause = format!(
            "{volume}:{path} is on {}, and missing on {}",
            name(first),
            name(number)
        );
        found.push(Found::new("missing", cause, heal.clone()));
    }
    // One is enough to show that they do not agree.
    let differs = have[1..].iter().find_map(|&(number, other)| {
        differs(volume, group, path, (first, reference), (number, other))
    });
    found.extend(differs);
    for (number, seen) in &have {
        let brick = &group.bricks[*number];
        if seen.mark.is_some() && !seen.has_volume && !brick.is_arbiter && brick.release.is_some() {
            let cure = match group.kind {
                Kind::Alone => "restore it from a backup".to_owned(),
                Kind::Replicas | Kind::Pieces => heal.clone(),
            };
            found.push(Found::new(
                "no_volume",
                format!(
                    "{volume}:{path} is an image, and has no volume on {}",
                    brick.name
                ),
                cure,
            ));
        }
    }
    found
}

/// How what one brick has differs from what another one has, both with their numbers.
fn differs(
    volume: &str,
    group: &Group,
    path: &str,
    (first, reference): (usize, &Seen),
    (number, other): (usize, &Seen),
) -> Option<Found> {
    let (at_first, at_other) = (&group.bricks[first].name, &group.bricks[number].name);
    let heal = format!("run: gluster volume heal {volume} full");
    if (other.inode, other.is_directory) != (reference.inode, reference.is_directory) {
        return Some(Found::new(
            "identity",
            format!("{volume}:{path} is another file on {at_other} than on {at_first}"),
            format!(
                "choose one: gluster volume heal {volume} split-brain source-brick BRICK {path}"
            ),
        ));
    }
    // An arbiter has the marks that clients and heal bring, and none of a file that the others made an image.
    let needs_mark = !group.bricks[number].is_arbiter || other.mark.is_some();
    if needs_mark && other.mark != reference.mark {
        let say = |seen: &Seen| seen.mark.clone().unwrap_or_else(|| "plain".to_owned());
        let (a, b) = (say(reference), say(other));
        let cause = format!("{volume}:{path} is {a} on {at_first}, and {b} on {at_other}");
        return Some(Found::new("mark", cause, heal));
    }
    if !group.bricks[number].is_arbiter && other.size != reference.size {
        let (a, b) = (reference.size.unwrap_or(0), other.size.unwrap_or(0));
        let cause = format!("{volume}:{path} has {a} bytes on {at_first}, and {b} on {at_other}");
        return Some(Found::new("size", cause, heal));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::bricks::Brick;
    use super::*;

    fn group(arbiter: bool) -> Group {
        let brick = |number: usize| Brick {
            name: format!("h{number}:/b"),
            is_arbiter: arbiter && number == 2,
            away: None,
            files: None,
            release: Some(RELEASE.to_owned()),
            top: Some("vg0".to_owned()),
            has_server: true,
        };
        Group {
            kind: Kind::Replicas,
            bricks: (0..3).map(brick).collect(),
            blames: vec!["a".into(), "b".into(), "c".into()],
        }
    }

    fn image() -> Seen {
        Seen {
            is_directory: false,
            inode: 7,
            size: Some(4096),
            mark: Some("thin".into()),
            has_volume: true,
            blamed: vec![],
        }
    }

    #[test]
    fn what_differs_is_named_with_its_brick() {
        let kinds = |group: &Group, third: Option<Option<Seen>>| {
            let seen = [Some(Some(image())), Some(Some(image())), third];
            let found = path("vms", group, "/vg0/a", &seen, None);
            found
                .into_iter()
                .map(|one| one.settle(false).kind)
                .collect::<Vec<_>>()
        };
        let plain = group(false);
        let other = |change: &dyn Fn(&mut Seen)| {
            let mut seen = image();
            change(&mut seen);
            Some(Some(seen))
        };
        assert!(kinds(&plain, Some(Some(image()))).is_empty());
        assert!(
            kinds(&plain, None).is_empty(),
            "a brick that is away has nothing to say"
        );
        assert_eq!(kinds(&plain, Some(None)), ["missing"]);
        assert_eq!(kinds(&plain, other(&|s| s.size = Some(1))), ["size"]);
        assert_eq!(kinds(&plain, other(&|s| s.inode = 8)), ["identity"]);
        assert_eq!(
            kinds(&plain, other(&|s| s.has_volume = false)),
            ["no_volume"]
        );
        assert_eq!(kinds(&plain, other(&|s| s.mark = None)), ["mark"]);
        let blames = other(&|s| {
            s.size = Some(1);
            s.blamed = vec![0];
        });
        assert_eq!(kinds(&plain, blames), ["to_heal"]);
        let names_only = other(&|s| {
            s.size = Some(0);
            s.has_volume = false;
        });
        assert!(kinds(&group(true), names_only).is_empty());
        let new = other(&|s| {
            s.size = Some(0);
            s.mark = None;
            s.has_volume = false;
        });
        assert!(kinds(&group(true), new).is_empty());
    }

    #[test]
    fn an_old_name_on_an_arbiter_is_told_from_one_that_others_lack() {
        let kinds = |seen: [Option<Option<Seen>>; 3], twin| {
            let found = path("vms", &group(true), "/vg0/was", &seen, twin);
            let kinds = found.into_iter().map(|one| one.settle(false).kind);
            kinds.collect::<Vec<_>>()
        };
        let (there, lacks) = (|| Some(Some(image())), || Some(None));
        assert_eq!(
            kinds([lacks(), lacks(), there()], Some("/vg0/is")),
            ["old_name"]
        );
        assert_eq!(kinds([lacks(), lacks(), there()], None), ["missing"]);
        // The one that does not answer may have it.
        assert_eq!(
            kinds([lacks(), None, there()], Some("/vg0/is")),
            ["missing"]
        );
        assert_eq!(
            kinds([lacks(), there(), there()], Some("/vg0/is")),
            ["missing"]
        );
    }

    #[test]
    fn bricks_out_of_step_are_named() {
        let mut group = group(true);
        for (brick, release) in group.bricks.iter_mut().zip([Some("0.0.1"), None, None]) {
            brick.release = release.map(str::to_owned);
        }
        group.bricks[1].top = Some("other".into());
        group.bricks[2].away = Some("no answer within 5 s".into());
        let told = bricks("vms", &[group]);
        let kinds: Vec<String> = told.into_iter().map(|one| one.settle(false).kind).collect();
        // These bricks have no connection at all.
        assert_eq!(kinds, ["brick_away", "brick_away", "host_away", "top"]);
    }
}
