//! The VG in memory, between two reports.

use std::collections::HashMap;

use bd_lvm::{LvReport, LvmUuid, Tag, VgReport};
use bd_model::{Bytes, Extents, Gfid, LvName};

/// The VG as the last report told it, with what this engine has changed since.
#[derive(Debug)]
pub(super) struct Model {
    /// The VG; its list of LVs is kept in `lvs`.
    pub(super) vg: VgReport,
    lvs: HashMap<LvmUuid, LvReport>,
    names: HashMap<LvName, LvmUuid>,
    gfids: HashMap<Gfid, LvmUuid>,
}

impl Model {
    pub(super) fn new(mut vg: VgReport) -> Model {
        let mut lvs = std::mem::take(&mut vg.lvs);
        read_merges(&mut lvs);
        let (lvs_len, empty) = (lvs.len(), HashMap::new());
        let mut model = Model {
            vg,
            lvs: HashMap::with_capacity(lvs_len),
            names: HashMap::with_capacity(lvs_len),
            gfids: empty,
        };
        for lv in lvs {
            model.insert(lv);
        }
        model
    }

    pub(super) fn insert(&mut self, lv: LvReport) {
        self.names.insert(lv.name.clone(), lv.uuid.clone());
        if let Some(gfid) = lv.gfid() {
            let owner = self.gfids.entry(gfid).or_insert_with(|| lv.uuid.clone());
            if *owner != lv.uuid {
                tracing::error!(vg = %self.vg.name, lv = %lv.name, %gfid,
                    "two LVs bear the tag of one image; this one counts as nobody's");
            }
        }
        self.lvs.insert(lv.uuid.clone(), lv);
    }

    pub(super) fn remove(&mut self, uuid: &LvmUuid) {
        let Some(lv) = self.lvs.remove(uuid) else {
            return;
        };
        if self.names.get(&lv.name) == Some(uuid) {
            self.names.remove(&lv.name);
        }
        self.gfids.retain(|_, owner| owner != uuid);
        if !lv.is_thin() {
            self.vg.free.0 += lv.size.0 / self.vg.extent_size.0.max(1);
        }
        for other in self.lvs.values_mut() {
            if other.origin.as_ref() == Some(&lv.name) {
                other.origin = None;
            }
        }
    }

    pub(super) fn rename(&mut self, uuid: &LvmUuid, to: &LvName) {
        let Some(lv) = self.lvs.get_mut(uuid) else {
            return;
        };
        let from = std::mem::replace(&mut lv.name, to.clone());
        self.names.remove(&from);
        self.names.insert(to.clone(), uuid.clone());
        for other in self.lvs.values_mut() {
            if other.origin.as_ref() == Some(&from) {
                other.origin = Some(to.clone());
            }
        }
    }

    pub(super) fn resize(&mut self, uuid: &LvmUuid, size: Bytes) {
        let Some(lv) = self.lvs.get_mut(uuid) else {
            return;
        };
        let before = std::mem::replace(&mut lv.size, size);
        if !lv.is_thin() {
            let unit = self.vg.extent_size.0.max(1);
            let free = (self.vg.free.0 + before.0 / unit).saturating_sub(size.0 / unit);
            self.vg.free = Extents(free);
        }
    }

    pub(super) fn retag(&mut self, uuid: &LvmUuid, add: &[Tag], del: &[Tag]) {
        let Some(lv) = self.lvs.get_mut(uuid) else {
            return;
        };
        lv.tags.retain(|tag| !del.contains(tag));
        for tag in add {
            if let Tag::Gfid(gfid) = tag {
                self.gfids.insert(*gfid, uuid.clone());
            }
            if !lv.tags.contains(tag) {
                lv.tags.push(tag.clone());
            }
        }
    }

    /// Changes tags that may say what other LVs are.
    pub(super) fn retag_and_read(&mut self, uuid: &LvmUuid, add: &[Tag], del: &[Tag]) {
        self.retag(uuid, add, del);
        let mut vg = self.vg.clone();
        vg.lvs = self.lvs.values().cloned().collect();
        *self = Model::new(vg);
    }

    /// Takes extents out of the free ones.
    pub(super) fn take(&mut self, extents: Extents) {
        self.vg.free.0 = self.vg.free.0.saturating_sub(extents.0);
    }

    pub(super) fn get(&self, uuid: &LvmUuid) -> Option<&LvReport> {
        self.lvs.get(uuid)
    }

    pub(super) fn image(&self, gfid: Gfid) -> Option<&LvReport> {
        self.gfids.get(&gfid).and_then(|uuid| self.lvs.get(uuid))
    }

    pub(super) fn named(&self, name: &LvName) -> Option<&LvReport> {
        self.names.get(name).and_then(|uuid| self.lvs.get(uuid))
    }

    /// The image that an LV belongs to; `None` too for the second LV of one image.
    pub(super) fn owner(&self, lv: &LvReport) -> Option<Gfid> {
        lv.gfid()
            .filter(|gfid| self.gfids.get(gfid) == Some(&lv.uuid))
    }

    /// How many images there are.
    pub(super) fn images(&self) -> u64 {
        u64::try_from(self.gfids.len()).unwrap_or(u64::MAX)
    }

    /// How many thin LVs a pool has, and their bytes together.
    pub(super) fn provisioned(&self, pool: &LvName) -> (u64, Bytes) {
        let of_pool = |lv: &&LvReport| lv.is_thin() && lv.pool.as_ref() == Some(pool);
        self.lvs
            .values()
            .filter(of_pool)
            .fold((0, Bytes(0)), |(count, sum), lv| {
                (count + 1, Bytes(sum.0.saturating_add(lv.size.0)))
            })
    }

    /// The image that an LV is a snapshot of.
    pub(super) fn origin_image(&self, lv: &LvReport) -> Option<Gfid> {
        let told = lv.tags.iter().find_map(|tag| match tag {
            Tag::Origin(gfid) => Some(*gfid),
            _ => None,
        });
        if let Some(told) = told {
            return self.image(told).map(|_| told);
        }
        let origin = lv.origin.as_ref().and_then(|name| self.named(name))?;
        let owner = self.owner(origin)?;
        if !is_outgoing(origin) {
            return Some(owner);
        }
        // In the middle of a merge: its snapshots belong to what it was.
        let mut lvs = self.lvs.values();
        let new = lvs.find(|lv| lv.tags.contains(&Tag::Merged(owner)))?;
        self.owner(new)
    }

    /// The LV that an LV is a snapshot of, by its name.
    pub(super) fn origin_name(&self, lv: &LvReport) -> Option<LvName> {
        if let Some(image) = self.origin_image(lv).and_then(|image| self.image(image)) {
            return Some(image.name.clone());
        }
        let origin = lv.origin.as_ref().and_then(|name| self.named(name));
        lv.origin
            .clone()
            .filter(|_| !origin.is_some_and(is_outgoing))
    }

    /// LVs which a merge has given to an image, and the snapshot that was merged, where LVM's
    /// metadata is not tidied up yet.
    pub(super) fn merged(&self) -> Vec<(LvReport, Gfid)> {
        let merged = |lv: &LvReport| merged(lv).map(|snapshot| (lv.clone(), snapshot));
        self.lvs.values().filter_map(merged).collect()
    }

    /// LVs that are snapshots of this one for LVM.
    pub(super) fn snapshots_of(&self, origin: &LvName) -> Vec<LvReport> {
        let of_this = |lv: &&LvReport| lv.origin.as_ref() == Some(origin);
        self.lvs.values().filter(of_this).cloned().collect()
    }

    /// A copy-on-write snapshot of an LV.
    pub(super) fn cow_of(&self, origin: &LvName) -> Option<&LvReport> {
        self.lvs
            .values()
            .find(|lv| lv.is_cow() && lv.origin.as_ref() == Some(origin))
    }

    /// The name for an image: the one wanted, or the gfid where another LV has that.
    pub(super) fn free_name(&self, wanted: &LvName, gfid: Gfid) -> LvName {
        let fits = wanted.fits(&self.vg.name);
        match self.named(wanted) {
            None if fits => wanted.clone(),
            Some(lv) if lv.gfid() == Some(gfid) => wanted.clone(),
            _ => LvName::for_gfid(gfid),
        }
    }

    /// LVs which may appear as files, by name.
    pub(super) fn visible(&self) -> Vec<&LvReport> {
        let mut lvs = self.public();
        lvs.retain(|lv| !is_hidden(lv));
        lvs
    }

    /// All LVs that are no pools and no parts of others, by name.
    pub(super) fn public(&self) -> Vec<&LvReport> {
        let mut lvs: Vec<&LvReport> = self.lvs.values().filter(|lv| !lv.is_internal()).collect();
        lvs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        lvs
    }

    /// LVs that hold no image's bytes and that LVM shows: an admin's, hidden from volumes or not
    /// given a file yet.
    pub(super) fn others(&self) -> impl Iterator<Item = &LvReport> {
        let of_image = |tag: &Tag| matches!(tag, Tag::Gfid(_) | Tag::Temporary | Tag::Unfinished);
        self.lvs
            .values()
            .filter(move |lv| !lv.is_internal() && !lv.tags.iter().any(of_image))
    }

    /// LVs that only serve others.
    pub(super) fn temporary(&self) -> Vec<LvReport> {
        self.tagged(&Tag::Temporary)
    }

    /// LVs that an unfinished copy has left, the frozen source before the destination.
    pub(super) fn left_over(&self) -> Vec<LvReport> {
        let mut lvs = self.temporary();
        lvs.extend(self.tagged(&Tag::Unfinished));
        lvs
    }

    fn tagged(&self, tag: &Tag) -> Vec<LvReport> {
        let has = |lv: &&LvReport| lv.tags.contains(tag);
        self.lvs.values().filter(has).cloned().collect()
    }
}

/// A merge is made by one change of the snapshot's LV, which then bears the tag of its origin and
/// says what it was. The other LV with that tag is from this moment on the snapshot's, whatever it
/// says itself.
fn read_merges(lvs: &mut [LvReport]) {
    let merges: Vec<_> = lvs
        .iter()
        .filter_map(|lv| Some((lv.uuid.clone(), lv.gfid()?, merged(lv)?)))
        .collect();
    for (uuid, image, snapshot) in merges {
        for lv in lvs.iter_mut() {
            if lv.uuid != uuid && lv.gfid() == Some(image) {
                lv.tags.retain(|tag| *tag != Tag::Gfid(image));
                lv.tags.extend([Tag::Gfid(snapshot), Tag::Outgoing]);
            }
        }
    }
}

fn merged(lv: &LvReport) -> Option<Gfid> {
    lv.tags.iter().find_map(|tag| match tag {
        Tag::Merged(snapshot) => Some(*snapshot),
        _ => None,
    })
}

/// Whether an LV is not for images: an admin has hidden it, or it serves a copy.
pub(super) fn is_hidden(lv: &LvReport) -> bool {
    let hides = |tag: &Tag| matches!(tag, Tag::Hidden | Tag::Temporary);
    lv.tags.iter().any(hides)
}

/// Whether an LV holds what an image was before a merge.
pub(super) fn is_outgoing(lv: &LvReport) -> bool {
    lv.tags.contains(&Tag::Outgoing)
}

/// The bytes that users of an LV see.
pub(super) fn visible_size(lv: &LvReport) -> Bytes {
    lv.origin_size.filter(|_| lv.is_cow()).unwrap_or(lv.size)
}

/// From where on the bytes of an LV may still be those of an earlier owner.
pub(super) fn zeroing(lv: &LvReport) -> Option<Bytes> {
    lv.tags.iter().find_map(|tag| match tag {
        Tag::Zeroing(from) => Some(*from),
        _ => None,
    })
}
