//! Which volumes have images.

use super::standing::Standing;
use super::stock::gluster;
use crate::CliError;
use crate::context::Context;
use crate::glusterd::{reach, silent};

/// What begins the part of one volume in what `gluster volume info` says of all.
const NAME: &str = "Volume Name: ";

/// The started volumes of ours that a host's glusterd knows.
pub(crate) fn volumes_with_images(context: &Context) -> Result<Vec<String>, CliError> {
    let host = &context.remote_host;
    reach(host).map_err(|cause| silent(host, &cause))?;
    let host = format!("--remote-host={host}");
    Ok(served(&gluster(&[&host, "volume", "info"])?))
}

fn served(text: &str) -> Vec<String> {
    // Before the first there is nothing.
    let parts = text.split(NAME).skip(1);
    parts
        .filter(|part| Standing::read(part).is_some_and(|it| it.is_ours && it.is_started))
        .filter_map(|part| Some(part.lines().next()?.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_others_and_stopped_ones_are_left_out() {
        let one = |name: &str, status: &str, option: &str| {
            format!(
                "\nVolume Name: {name}\nType: Distribute\nStatus: {status}\nNumber of Bricks: 1\n\
                 Bricks:\nBrick1: h:/b\nOptions Reconfigured:\n{option}\n \n"
            )
        };
        let text = [
            one("vms", "Started", "user.bd: on"),
            one("home", "Started", "nfs.disable: on"),
            one("old", "Stopped", "user.bd: on"),
            one("more", "Started", "user.bd: on"),
        ];
        assert_eq!(served(&text.concat()), ["vms", "more"]);
        assert!(served("No volumes present\n").is_empty());
    }
}
