use std::ffi::CStr;
use std::sync::Arc;

use bd_model::{ImageKind, xattr};
use bd_proto::{ImageInfo, Reply, Request};
use glusterfs::fops::{Fgetxattr, FgetxattrReply, Getxattr, GetxattrReply};
use glusterfs::{Call, Dict, Errno, Fop, Frame, Inode, gf_warn};

use crate::names::{self};
use crate::ops::places;
use crate::{Brick, Image};

/// What can be asked by the name of an attribute which no file has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// What the server knows of an image.
    Info,
    /// The LV that it is a snapshot of.
    Origin,
    /// The image that it is a snapshot of.
    OriginImage,
    /// Whether the volume is one of gluster-bd.
    VolumeType,
    /// What it can do.
    VolumeCaps,
    /// The space of the brick.
    Space,
    /// The name of the top image directory.
    Top,
    /// The release of this translator.
    Release,
}

pub(crate) fn question(name: Option<&CStr>) -> Option<Question> {
    Some(match name?.to_str().ok()? {
        xattr::INFO => Question::Info,
        xattr::LIST_ORIGIN => Question::Origin,
        xattr::ORIGIN => Question::OriginImage,
        xattr::VOLUME_TYPE => Question::VolumeType,
        xattr::VOLUME_CAPS => Question::VolumeCaps,
        xattr::SPACE => Question::Space,
        xattr::TOP => Question::Top,
        xattr::RELEASE => Question::Release,
        _ => return None,
    })
}

/// Answers questions about images and the volume.
pub(crate) fn getxattr(brick: &Arc<Brick>, call: Call<'_, Getxattr>) {
    if call.args.name.as_deref() == Some(names::PATH) {
        return places::paths(brick, call);
    }
    let Some(question) = question(call.args.name.as_deref()) else {
        return call.pass();
    };
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let frame = call.detach().frame;
    answer(brick, frame, &inode, question, |len, dict| GetxattrReply {
        len,
        dict: Some(dict),
        xdata: None,
    });
}

/// As [`getxattr`].
pub(crate) fn fgetxattr(brick: &Arc<Brick>, call: Call<'_, Fgetxattr>) {
    let Some(question) = question(call.args.name.as_deref()) else {
        return call.pass();
    };
    let inode = call.args.fd.inode().share();
    let frame = call.detach().frame;
    answer(brick, frame, &inode, question, |len, dict| FgetxattrReply {
        len,
        dict: Some(dict),
        xdata: None,
    });
}

pub(crate) fn answer<F: Fop>(
    brick: &Arc<Brick>,
    frame: Frame<F>,
    inode: &Inode<'_>,
    question: Question,
    reply: impl FnOnce(u32, Dict<'static>) -> F::Reply<'static> + Send + 'static,
) {
    let unwind = |frame: Frame<F>, text: Result<(&str, String), Errno>| match text
        .and_then(|(name, text)| one(name, &text))
    {
        Ok((len, dict)) => frame.unwind(reply(len, dict)),
        Err(errno) => frame.fail(errno),
    };
    match question {
        Question::VolumeType => unwind(frame, Ok((xattr::VOLUME_TYPE, "1".to_owned()))),
        Question::VolumeCaps => unwind(frame, Ok((xattr::VOLUME_CAPS, caps(brick).to_string()))),
        Question::Top => {
            let top = brick.server.brick().top.clone();
            unwind(frame, Ok((xattr::TOP, top)));
        }
        Question::Release => {
            let release = env!("CARGO_PKG_VERSION").to_owned();
            unwind(frame, Ok((xattr::RELEASE, release)));
        }
        Question::Space => brick.on_control(move |brick| {
            let text = space(brick).map(|text| (xattr::SPACE, text));
            unwind(frame, text);
        }),
        Question::Info | Question::Origin | Question::OriginImage => {
            match brick.image_of(&frame, inode) {
                Ok(Some(image)) => brick.on_control(move |brick| {
                    let text = match question {
                        Question::Origin => {
                            origin(brick, &image).map(|text| (xattr::LIST_ORIGIN, text))
                        }
                        Question::OriginImage => {
                            origin_image(brick, &image).map(|text| (xattr::ORIGIN, text))
                        }
                        _ => info(brick, &image).map(|text| (xattr::INFO, text)),
                    };
                    unwind(frame, text);
                }),
                Ok(None) => frame.fail(Errno::ENODATA),
                Err(errno) => frame.fail(errno),
            }
        }
    }
}

/// An answer of one attribute, and its length.
pub(crate) fn one(name: &str, text: &str) -> Result<(u32, Dict<'static>), Errno> {
    let dict = Dict::new();
    dict.set(name, text.as_bytes())?;
    Ok((u32::try_from(text.len()).map_err(|_| Errno::ERANGE)?, dict))
}

pub(crate) fn caps(brick: &Brick) -> u32 {
    use xattr::caps::{BD, OFFLOAD_COPY, OFFLOAD_SNAPSHOT, OFFLOAD_ZERO, THIN};
    let thin = match brick.kind_for(ImageKind::Thin) {
        ImageKind::Thin => THIN,
        ImageKind::Thick => 0,
    };
    BD | thin | OFFLOAD_COPY | OFFLOAD_SNAPSHOT | OFFLOAD_ZERO
}

pub(crate) fn known(brick: &Brick, image: &Image) -> Result<ImageInfo, Errno> {
    let gfid = image.gfid();
    let reply = brick.server.ask(&Request::Info {
        brick: brick.server.id(),
        gfid,
    });
    match reply {
        Ok(Reply::Image(known)) => Ok(known),
        Ok(_) => Err(Errno::EPROTO),
        // Another client has removed or merged it.
        Err(error) if error.is_not_found() && image.is_leaving() => Err(Errno::ESTALE),
        Err(error) => Err(brick.told("describe", gfid, &error)),
    }
}

pub(crate) fn origin(brick: &Brick, image: &Image) -> Result<String, Errno> {
    let origin = known(brick, image)?.origin;
    origin.map(String::from).ok_or(Errno::ENODATA)
}

pub(crate) fn origin_image(brick: &Brick, image: &Image) -> Result<String, Errno> {
    let origin = known(brick, image)?.origin_image;
    origin.map(|gfid| gfid.to_string()).ok_or(Errno::ENODATA)
}

pub(crate) fn info(brick: &Brick, image: &Image) -> Result<String, Errno> {
    let mut json = serde_json::to_value(known(brick, image)?).map_err(|_| Errno::EIO)?;
    json["size"] = image.size().into();
    Ok(json.to_string())
}

pub(crate) fn space(brick: &Brick) -> Result<String, Errno> {
    let space = match brick.server.ask(&Request::Space {
        brick: brick.server.id(),
    }) {
        Ok(Reply::Space(space)) => space,
        Ok(_) => return Err(Errno::EPROTO),
        Err(error) => {
            gf_warn!("cannot tell the space of the brick: {error}");
            return Err(Errno::new(error.errno()));
        }
    };
    let mut json = serde_json::to_value(space).map_err(|_| Errno::EIO)?;
    json["extent_size"] = brick.server.brick().extent_size.0.into();
    Ok(json.to_string())
}
