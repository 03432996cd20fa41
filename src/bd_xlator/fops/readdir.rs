use std::collections::HashMap;
use std::sync::Arc;

use bd_model::{Bytes, Gfid, xattr};
use bd_proto::{Reply, Request};
use glusterfs::fops::{Readdirp, ReaddirpReply};
use glusterfs::{Call, Errno, Fop, Frame};

use crate::{Brick, names};

/// Answers images with their own attributes.
pub(crate) fn readdirp(brick: &Arc<Brick>, mut call: Call<'_, Readdirp>) {
    let xdata = names::request_of(call.args.xdata.take());
    if xdata.set_u32(xattr::IMAGE, 0).is_err() {
        return call.fail(Errno::ENOMEM);
    }
    call.args.xdata = Some(xdata);
    let brick = Arc::clone(brick);
    call.wind(move |frame, answer| match answer {
        Ok(mut reply) => {
            if !brick.tells_soon() || unknown(&brick, &mut reply).is_empty() {
                dress(&brick, &mut reply, &HashMap::new());
                return frame.unwind(reply);
            }
            let reply = <Readdirp as Fop>::own_reply(reply);
            brick.on_brief(move |brick| ask_and_answer(brick, frame, reply));
        }
        Err(failure) => frame.answer(Err(failure)),
    });
}

/// The images among the entries whose allocated bytes must be asked for.
fn unknown(brick: &Brick, reply: &mut ReaddirpReply<'_>) -> Vec<Gfid> {
    let mut gfids = Vec::new();
    for entry in reply.entries.iter() {
        let is_marked = entry.dict().is_some_and(|dict| dict.contains(xattr::IMAGE));
        if entry.is_regular() && is_marked {
            let gfid = Gfid::from_bytes(entry.iatt().gfid());
            let known = brick
                .images
                .find(gfid)
                .is_some_and(|i| i.allocated_now().is_some());
            if !known {
                gfids.push(gfid);
            }
        }
    }
    gfids
}

/// Asks for all of a batch at once.
fn ask_and_answer(brick: &Arc<Brick>, frame: Frame<Readdirp>, mut reply: ReaddirpReply<'static>) {
    let gfids = unknown(brick, &mut reply);
    let request = Request::Allocated {
        brick: brick.server.id(),
        gfids: gfids.clone(),
    };
    let told = brick.ask_briefly(request, move |_, answer| match answer {
        Reply::Allocated(bytes) => gfids.into_iter().zip(bytes).collect(),
        _ => HashMap::new(),
    });
    // Names and sizes are worth answering without blocks.
    dress(brick, &mut reply, &told.unwrap_or_default());
    frame.unwind(reply);
}

fn dress(brick: &Brick, reply: &mut ReaddirpReply<'_>, told: &HashMap<Gfid, Option<Bytes>>) {
    for mut entry in reply.entries.iter() {
        if !entry.is_regular() {
            continue;
        }
        if let Some(dict) = entry.dict().filter(|dict| dict.contains(xattr::IMAGE)) {
            // The stub's bytes, not the image's.
            dict.remove(names::CONTENT);
        }
        let mut iatt = entry.iatt();
        let gfid = Gfid::from_bytes(iatt.gfid());
        let bytes = told.get(&gfid).copied().flatten();
        if let Some(image) = brick.images.find(gfid) {
            if let Some(bytes) = bytes {
                image.note_allocated(bytes);
            }
            brick.dress(&image, &mut iatt);
        } else if entry.dict().is_some_and(|dict| dict.contains(xattr::IMAGE)) {
            // As of an image whose bytes nobody has told yet: never 0 where there is data.
            let size = Bytes(iatt.size());
            iatt.set_blocks(bytes.map_or(size, |bytes| bytes.min(size)).sectors_up().0);
        }
        entry.set_iatt(&iatt);
    }
}
