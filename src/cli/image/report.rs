use bd_model::{Bytes, Gfid, ImageKind, LvName};
use serde::{Deserialize, Serialize};

/// One image, as commands print it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ImageReport {
    /// The volume.
    pub(crate) volume: String,
    /// The path within the volume.
    pub(crate) path: String,
    /// What its brick knows of it.
    #[serde(flatten)]
    pub(crate) known: Known,
}

/// What is known of an image: its size and space as Gluster tells them, and of the rest what one of
/// its bricks answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Bytes of the file.
    pub(crate) size: Bytes,
    /// Bytes that are allocated to it, shared ones among them.
    pub(crate) allocated: Bytes,
    /// Thin or thick.
    pub(crate) kind: ImageKind,
    /// The image.
    pub(crate) gfid: Gfid,
    /// Its LV.
    pub(crate) lv: LvName,
    /// Bytes of the LV.
    pub(crate) lv_size: Bytes,
    /// Its thin pool.
    pub(crate) pool: Option<LvName>,
    /// The LV of which it is a snapshot.
    pub(crate) origin: Option<LvName>,
}

impl ImageReport {
    /// Line by line, for people.
    pub(crate) fn describe(&self) -> String {
        let known = &self.known;
        let or_none = |name: &Option<LvName>| {
            name.as_ref()
                .map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        format!(
            "image:      {}:{}\nsize:       {}\nallocated:  {}\nkind:       {}\n\
             gfid:       {}\nlv:         {}, {}\npool:       {}\norigin:     {}\n",
            self.volume,
            self.path,
            known.size,
            known.allocated,
            known.kind,
            known.gfid,
            known.lv,
            known.lv_size,
            or_none(&known.pool),
            or_none(&known.origin),
        )
    }
}
