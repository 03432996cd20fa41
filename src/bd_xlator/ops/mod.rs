//! Steps of fops that several of them take.

pub(crate) mod above;
pub(crate) mod attributes;
pub(crate) mod clone;
pub(crate) mod convert;
pub(crate) mod dispatch;
pub(crate) mod early;
pub(crate) mod flush;
pub(crate) mod heal_xattrs;
pub(crate) mod healed;
pub(crate) mod image_request;
pub(crate) mod last_close;
pub(crate) mod lv_name;
pub(crate) mod merge;
pub(crate) mod migration;
pub(crate) mod mode;
pub(crate) mod name_removal;
pub(crate) mod named;
pub(crate) mod new_image;
pub(crate) mod old_times;
pub(crate) mod pieces;
pub(crate) mod places;
pub(crate) mod quota;
pub(crate) mod removal;
pub(crate) mod resize;
pub(crate) mod rights;
pub(crate) mod xattr_change;
