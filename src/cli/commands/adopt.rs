use std::path::PathBuf;

use bd_model::{LvName, VgName};
use bd_proto::{Adoption, BrickSpec, EngineSpec, OldImage, OldStep, Reply, Request};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::health::settle_pool;
use crate::server::{absolute, ask, out_of_turn};
use crate::storage::Wanted;
use crate::table::table;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// The directory of the old brick, as in HOST:/DIR?VG; its volume is stopped
    dir: PathBuf,
    /// Its volume group
    #[arg(long)]
    vg: VgName,
    /// The thin pool for new images [default: the only one; without any, new images are thick]
    #[arg(long)]
    pool: Option<LvName>,
    /// Take no pool: new images are thick
    #[arg(long, conflicts_with = "pool")]
    thick: bool,
    /// Name of the directory for new images, the same for all bricks of a volume [default: VG]
    #[arg(long, value_name = "NAME")]
    top: Option<String>,
    /// Do it; without this, only what would be done is told, and nothing is changed
    #[arg(long)]
    yes: bool,
}

/// What an old brick holds, and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Adopted {
    pub(super) dir: PathBuf,
    /// Whether it can be taken over as it is.
    pub(super) fits: bool,
    #[serde(flatten)]
    pub(super) told: Adoption,
}

impl Adopt {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let dir = absolute(&self.dir)?;
        let pool = Wanted::of(self.pool, self.thick).find(self.vg.as_str())?;
        let request = Request::AdoptBrick {
            spec: BrickSpec {
                dir: dir.clone(),
                engine: EngineSpec::Lvm {
                    vg: self.vg.clone(),
                    pool,
                },
                top: self.top.clone(),
                adopt: true,
            },
            really: self.yes,
        };
        let told = match ask(&context.socket, &request)? {
            Reply::Adoption(told) => told,
            other => return Err(out_of_turn(&other)),
        };
        if let Some(brick) = &told.brick {
            settle_pool(&brick.engine);
        }
        let adopted = Adopted {
            dir,
            fits: told.fits(),
            told,
        };
        context.print(&adopted, Adopted::describe)?;
        match (adopted.fits, self.yes) {
            (true, _) => Ok(Exit::Done),
            (false, false) => Ok(Exit::Failed),
            (false, true) => Err(CliError::Refused(format!(
                "{} is not taken over, and nothing was changed, because not all of it fits",
                adopted.dir.display()
            ))),
        }
    }
}

impl Adopted {
    fn describe(&self) -> String {
        let told = &self.told;
        let images = told
            .images
            .iter()
            .map(|image| row(image, told.brick.is_some()));
        let others = told.others.iter().map(|other| {
            vec![
                "-".to_owned(),
                other.lv.to_string(),
                other.size.to_string(),
                other.what.clone(),
            ]
        });
        let rows: Vec<Vec<String>> = images.chain(others).collect();
        let what = match told.brick {
            Some(_) => "DONE",
            None => "TO DO",
        };
        let mut text = table(&["FILE", "LV", "SIZE", what], &[2], &rows);
        for refused in &told.refused {
            text.push_str(&format!("{refused}\n"));
        }
        let unfit = told.images.iter().filter(|image| image.unfit.is_some());
        let dir = self.dir.display();
        text.push_str(&format!(
            "{dir}: {} images, {} of them do not fit\n",
            told.images.len(),
            unfit.count()
        ));
        text.push_str(&match (&told.brick, self.fits) {
            (Some(brick), _) => format!(
                "{dir} is a brick of gluster-bd now, {}; what comes next: \"An old brick\" in \
                 docs/operations.md\n",
                brick.id
            ),
            (None, true) => "nothing was changed; the same with --yes does it\n".to_owned(),
            (None, false) => "nothing was changed\n".to_owned(),
        });
        text
    }
}

/// An image as a line of the table.
fn row(image: &OldImage, is_done: bool) -> Vec<String> {
    let word = |step: &OldStep| match step {
        OldStep::Handle => "handle",
        OldStep::Tag => "tag",
        OldStep::Size => "size",
        OldStep::Mark => "mark",
    };
    let kind = image.kind.map(|kind| kind.to_string()).unwrap_or_default();
    let mut what = match (&image.unfit, image.steps.is_empty()) {
        (Some(why), _) => format!("does not fit: {why}"),
        (None, true) => format!("{kind}: nothing, it was done before"),
        (None, false) => {
            let words: Vec<&str> = image.steps.iter().map(word).collect();
            format!("{kind}: {}", words.join(", "))
        }
    };
    for note in image.notes.iter().filter(|_| !is_done) {
        what.push_str(&format!("; {note}"));
    }
    vec![
        image.path.clone(),
        image
            .lv
            .as_ref()
            .map_or_else(|| "-".to_owned(), ToString::to_string),
        image
            .size
            .map_or_else(|| "-".to_owned(), |size| size.to_string()),
        what,
    ]
}

#[cfg(test)]
mod tests {
    use bd_model::{Bytes, Gfid, ImageKind};

    use super::*;

    #[test]
    fn the_table_says_what_is_done_and_what_does_not_fit() {
        let gfid: Gfid = "01020304-0506-0708-090a-0b0c0d0e0f10".parse().unwrap();
        let good = OldImage {
            path: "/vm1".to_owned(),
            gfid: Some(gfid),
            lv: Some(LvName::for_gfid(gfid)),
            kind: Some(ImageKind::Thin),
            size: Some(Bytes(4 << 20)),
            steps: vec![OldStep::Tag, OldStep::Mark],
            notes: vec!["its mark said lv".to_owned()],
            unfit: None,
        };
        let bad = OldImage {
            path: "/vm2".to_owned(),
            lv: None,
            size: None,
            notes: Vec::new(),
            unfit: Some("there is no LV".to_owned()),
            ..good.clone()
        };
        let adopted = Adopted {
            dir: "/d".into(),
            fits: false,
            told: Adoption {
                refused: vec!["it is served".to_owned()],
                images: vec![good, bad],
                others: Vec::new(),
                brick: None,
            },
        };
        assert_eq!(
            adopted.describe(),
            "FILE  LV                                     SIZE  TO DO\n\
             /vm1  01020304-0506-0708-090a-0b0c0d0e0f10  4 MiB  thin: tag, mark; its mark said lv\n\
             /vm2  -                                         -  does not fit: there is no LV\n\
             it is served\n\
             /d: 2 images, 1 of them do not fit\n\
             nothing was changed\n"
        );
    }
}
