//! The decisions about a pool, from figures alone.

use bd_dm_thin::Use;
use bd_model::{Bytes, Extents};

use super::by::share;
use super::{Attention, By, Policy};

/// The most metadata that a pool can have: the kernel's limit, less what LVM keeps off its end
/// (Linux, Documentation/admin-guide/device-mapper/thin-provisioning.rst; lvmthin(7)).
const METADATA_MOST: Bytes = Bytes((255 * (1 << 14) - 64) * 4096);

/// So many points below a threshold, a pool is looked at often.
const NEAR: u64 = 10;

/// A part of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The chunks of images.
    Data,
    /// What maps images to chunks.
    Metadata,
}

/// How full a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes in use.
    pub used: Bytes,
    /// All bytes.
    pub total: Bytes,
}

/// What the VG has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free extents.
    pub free: Extents,
    /// All extents.
    pub all: Extents,
    /// Bytes of one.
    pub extent: Bytes,
}

/// What is to be done about a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Give it so many extents more.
    Extend(Extents),
    /// It should be extended, but nothing is left to do so.
    NoRoom,
}

impl Fill {
    /// The bytes of blocks of `unit` bytes.
    pub fn new(blocks: Use, unit: Bytes) -> Fill {
        let bytes = |blocks: u64| Bytes(blocks.saturating_mul(unit.0));
        Fill {
            used: bytes(blocks.used),
            total: bytes(blocks.total),
        }
    }

    /// Whether so many percent are in use, or more. A hundred is never reached.
    pub fn reaches(self, percent: u64) -> bool {
        percent < 100
            && u128::from(self.used.0) * 100 >= u128::from(self.total.0) * u128::from(percent)
    }

    /// Percent in use, rounded down.
    pub fn percent(self) -> u64 {
        Use {
            used: self.used.0,
            total: self.total.0,
        }
        .percent()
    }
}

impl Part {
    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Part::Data => "data",
            Part::Metadata => "metadata",
        }
    }

    /// From which percentage on new images are refused.
    pub fn refused_at(self, policy: &Policy) -> u64 {
        match self {
            Part::Data => policy.refuse_at,
            Part::Metadata => policy.metadata_refuse_at,
        }
    }

    /// From which percentage on it is extended, and by how much.
    pub fn extension(self, policy: &Policy) -> (u64, By) {
        match self {
            Part::Data => (policy.extend_at, policy.extend_by),
            Part::Metadata => (policy.metadata_extend_at, policy.metadata_extend_by),
        }
    }
}

impl Room {
    fn bytes(self, extents: Extents) -> Bytes {
        Bytes(extents.0.saturating_mul(self.extent.0))
    }

    /// The extents that a part may still get.
    fn available(self, part: Part, policy: &Policy) -> Extents {
        let kept = match part {
            Part::Data => policy.reserve.of(self.bytes(self.all)).0,
            Part::Metadata => 0,
        };
        Extents(
            self.free
                .0
                .saturating_sub(kept.div_ceil(self.extent.0.max(1))),
        )
    }
}

/// Whether and by how much a part is extended.
///
/// By its step, or by as much as takes it below its threshold; by less if there is not so much.
pub fn step(part: Part, fill: Fill, room: Room, policy: &Policy) -> Step {
    let (at, by) = part.extension(policy);
    if !fill.reaches(at) {
        return Step::Rest;
    }
    let below = u128::from(fill.used.0) * 100 / u128::from(at.max(1)) + 1;
    let needed = u64::try_from(below)
        .unwrap_or(u64::MAX)
        .saturating_sub(fill.total.0);
    let mut wanted = by.of(fill.total).0.max(needed);
    if part == Part::Metadata {
        let most = METADATA_MOST.0.saturating_sub(fill.total.0);
        if most < room.extent.0 {
            return Step::NoRoom;
        }
        wanted = wanted.min(most / room.extent.0 * room.extent.0);
    }
    let wanted = wanted.div_ceil(room.extent.0.max(1));
    match wanted.min(room.available(part, policy).0) {
        0 => Step::NoRoom,
        extents => Step::Extend(Extents(extents)),
    }
}

/// Bytes that a part may still get, whatever its use is.
pub fn growable(part: Part, fill: Fill, room: Room, policy: &Policy) -> Bytes {
    if part.extension(policy).0 >= 100 {
        return Bytes(0);
    }
    let free = room.bytes(room.available(part, policy));
    match part {
        Part::Data => free,
        Part::Metadata => free.min(Bytes(METADATA_MOST.0.saturating_sub(fill.total.0))),
    }
}

/// How soon a pool must be looked at again.
pub fn attention(data: Fill, metadata: Fill, policy: &Policy) -> Attention {
    let near = |part: Part, fill: Fill| {
        let (at, _) = part.extension(policy);
        // What is never extended can become full all the same, which is to be told.
        fill.percent() + NEAR >= at
    };
    match near(Part::Data, data) || near(Part::Metadata, metadata) {
        true => Attention::Near,
        false => Attention::Calm,
    }
}

/// Why nothing new is made in a pool that is so full; `None` if it may be.
pub fn refusal(data: Fill, metadata: Fill, policy: &Policy) -> Option<String> {
    let limits = [
        (Part::Data, data, policy.refuse_at),
        (Part::Metadata, metadata, policy.metadata_refuse_at),
    ];
    let (part, fill, limit) = limits.into_iter().find(|(_, fill, at)| fill.reaches(*at))?;
    Some(format!(
        "{}% of its {} are in use ({} of {}), and its policy refuses new images from {limit}% on",
        fill.percent(),
        part.name(),
        fill.used,
        fill.total,
    ))
}

/// Why a job should not write `now` bytes to new chunks, of `all` that it is to write; `None` if it
/// may. What the pool can still be extended by counts for the rest, not for what comes now.
pub fn no_room(
    data: Fill,
    metadata: Fill,
    room: Room,
    (now, all): (Bytes, Bytes),
    policy: &Policy,
) -> Option<String> {
    if let Some(refused) = refusal(data, metadata, policy) {
        return Some(refused);
    }
    let more = match policy.extend_at {
        100.. => Bytes(0),
        _ => room.bytes(room.available(Part::Data, policy)),
    };
    let would_pass = |added: Bytes, total: u64| {
        let used = u128::from(data.used.0) + u128::from(added.0);
        used * 100 > u128::from(total) * u128::from(policy.refuse_at)
    };
    let (added, what) = if would_pass(all, data.total.0.saturating_add(more.0)) {
        (all, "in all")
    } else if would_pass(now, data.total.0) {
        (now, "at once")
    } else {
        return None;
    };
    let and_more = match more {
        Bytes(0) => String::new(),
        more => format!(", and {more} could be added"),
    };
    Some(format!(
        "it would write {added} {what}, and take the pool past {}% of its data ({} of {} are in \
         use{and_more}); extend it or remove images",
        policy.refuse_at, data.used, data.total,
    ))
}

/// Why images must not have `added` bytes more; `None` if they may.
pub fn too_much(provisioned: Bytes, added: Bytes, data: Bytes, policy: &Policy) -> Option<String> {
    let ratio = policy.overprovision?;
    let sum = Bytes(provisioned.0.saturating_add(added.0));
    // In hundredths, so that no size is too large for the product.
    let hundredths = ratio_percent(ratio);
    (sum > share(data, hundredths)).then(|| {
        format!(
            "its images would have {sum} together, and its policy allows {ratio} times its {data}"
        )
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the policy holds ratios from one to a thousand millions"
)]
fn ratio_percent(ratio: f64) -> u64 {
    (ratio * 100.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn fill(used: u64, total: u64) -> Fill {
        Fill {
            used: Bytes(used * MIB),
            total: Bytes(total * MIB),
        }
    }

    /// A VG of a hundred extents of 4 MiB.
    fn room(free: u64) -> Room {
        Room {
            free: Extents(free),
            all: Extents(100),
            extent: Bytes(4 * MIB),
        }
    }

    fn policy() -> Policy {
        Policy {
            reserve: By::Bytes(Bytes(0)),
            ..Policy::default()
        }
    }

    #[test]
    fn a_pool_is_extended_at_its_threshold() {
        let data = |used| step(Part::Data, fill(used, 100), room(50), &policy());
        assert_eq!(data(79), Step::Rest);
        // A fifth of 100 MiB are 5 extents.
        assert_eq!(data(80), Step::Extend(Extents(5)));
        // A full one needs 25 MiB and a byte to come below 80%.
        assert_eq!(data(100), Step::Extend(Extents(7)));
        let never = Policy {
            extend_at: 100,
            ..policy()
        };
        assert_eq!(
            step(Part::Data, fill(100, 100), room(50), &never),
            Step::Rest
        );
        let by_size = Policy {
            extend_by: By::Bytes(Bytes(33 * MIB)),
            ..policy()
        };
        let stepped = step(Part::Data, fill(80, 100), room(50), &by_size);
        assert_eq!(stepped, Step::Extend(Extents(9)));
    }

    #[test]
    fn the_reserve_is_for_metadata_only() {
        let keeps = Policy {
            reserve: By::Percent(10),
            ..policy()
        };
        let data = |free| step(Part::Data, fill(90, 100), room(free), &keeps);
        assert_eq!(data(12), Step::Extend(Extents(2)), "what there is");
        assert_eq!(data(10), Step::NoRoom);
        assert_eq!(data(0), Step::NoRoom);
        let metadata = |free| step(Part::Metadata, fill(8, 10), room(free), &keeps);
        assert_eq!(metadata(10), Step::Extend(Extents(2)));
        assert_eq!(metadata(1), Step::Extend(Extents(1)));
        assert_eq!(metadata(0), Step::NoRoom);
    }

    #[test]
    fn what_may_be_added_is_what_the_policy_allows() {
        let keeps = Policy {
            reserve: By::Percent(10),
            ..policy()
        };
        let may = |part, policy: &Policy| growable(part, fill(1, 100), room(50), policy);
        assert_eq!(may(Part::Data, &policy()), Bytes(200 * MIB));
        assert_eq!(may(Part::Data, &keeps), Bytes(160 * MIB));
        assert_eq!(may(Part::Metadata, &keeps), Bytes(200 * MIB));
        let never = Policy {
            extend_at: 100,
            ..policy()
        };
        assert_eq!(may(Part::Data, &never), Bytes(0));
    }

    #[test]
    fn metadata_have_a_limit() {
        let most = METADATA_MOST.0 / MIB;
        let metadata = |total| {
            let room = Room {
                free: Extents(10_000),
                ..room(0)
            };
            step(Part::Metadata, fill(total * 9 / 10, total), room, &policy())
        };
        let rest = (METADATA_MOST.0 - (most - 100) * MIB) / (4 * MIB);
        assert_eq!(metadata(most - 100), Step::Extend(Extents(rest)));
        assert_eq!(metadata(most), Step::NoRoom);
    }

    #[test]
    fn new_images_are_refused_with_the_figures() {
        let refused = |data, metadata| refusal(data, metadata, &policy());
        assert_eq!(refused(fill(94, 100), fill(1, 4)), None);
        assert_eq!(
            refused(fill(96, 100), fill(1, 4)).unwrap(),
            "96% of its data are in use (96 MiB of 100 MiB), and its policy refuses new images \
             from 95% on"
        );
        let metadata = refused(fill(0, 100), fill(4, 4)).unwrap();
        assert!(metadata.starts_with("100% of its metadata are in use (4 MiB of 4 MiB)"));
    }

    #[test]
    fn a_job_stops_before_new_images_are_refused() {
        let of = |used, now: u64, all: u64, free, policy: &Policy| {
            let wanted = (Bytes(now * MIB), Bytes(all * MIB));
            no_room(fill(used, 100), fill(1, 100), room(free), wanted, policy)
        };
        let never = Policy {
            extend_at: 100,
            ..policy()
        };
        assert_eq!(of(50, 10, 45, 10, &never), None);
        assert_eq!(
            of(50, 10, 46, 10, &never).unwrap(),
            "it would write 46 MiB in all, and take the pool past 95% of its data (50 MiB of 100 \
             MiB are in use); extend it or remove images"
        );
        // 40 MiB more are there: 95% of 140 MiB are 133.
        assert_eq!(of(50, 10, 83, 10, &policy()), None);
        let reason = of(50, 10, 84, 10, &policy()).unwrap();
        assert!(reason.contains("and 40 MiB could be added"), "{reason}");
        // It waits for the extension.
        let reason = of(90, 10, 20, 10, &policy()).unwrap();
        assert!(reason.contains("10 MiB at once"), "{reason}");
        assert!(of(96, 0, 0, 10, &policy()).unwrap().starts_with("96% of"));
    }

    #[test]
    fn promises_have_a_limit_where_one_is_set() {
        let mib = |number| Bytes(number * MIB);
        let limited = |ratio, sum, added| {
            let policy = Policy {
                overprovision: ratio,
                ..policy()
            };
            too_much(mib(sum), mib(added), mib(100), &policy)
        };
        assert_eq!(limited(None, 1 << 30, 1 << 30), None);
        assert_eq!(limited(Some(1.5), 100, 50), None);
        assert_eq!(
            limited(Some(1.5), 100, 51).unwrap(),
            "its images would have 151 MiB together, and its policy allows 1.5 times its 100 MiB"
        );
        assert!(
            too_much(
                Bytes(u64::MAX),
                Bytes(1),
                Bytes(u64::MAX),
                &Policy {
                    overprovision: Some(1e9),
                    ..policy()
                }
            )
            .is_none()
        );
    }

    #[test]
    fn a_pool_is_watched_closely_before_its_thresholds() {
        let look = |data, metadata| attention(fill(data, 100), fill(metadata, 100), &policy());
        assert_eq!(look(69, 59), Attention::Calm);
        assert_eq!(look(70, 0), Attention::Near);
        assert_eq!(look(0, 60), Attention::Near);
    }
}
