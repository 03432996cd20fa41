//! Which image is a snapshot of which.

use std::collections::HashMap;

use serde::Serialize;

use super::report::ImageReport;

/// An image and its snapshots.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Node {
    /// The image.
    #[serde(flatten)]
    pub(crate) image: ImageReport,
    /// Those that are snapshots of it.
    pub(crate) snapshots: Vec<Node>,
}

/// Puts images below their origins. An image whose origin is not among them is at the top.
pub(crate) fn lineage(images: Vec<ImageReport>) -> Vec<Node> {
    let by_lv: HashMap<String, usize> = images
        .iter()
        .enumerate()
        .map(|(index, image)| (image.known.lv.to_string(), index))
        .collect();
    let mut below = vec![Vec::new(); images.len()];
    let mut tops = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let origin = image.known.origin.as_ref();
        match origin.and_then(|origin| by_lv.get(origin.as_str())) {
            Some(&origin) if origin != index => below[origin].push(index),
            Some(_) | None => tops.push(index),
        }
    }
    tops.iter().map(|&top| node(top, &images, &below)).collect()
}

fn node(index: usize, images: &[ImageReport], below: &[Vec<usize>]) -> Node {
    Node {
        image: images[index].clone(),
        snapshots: below[index]
            .iter()
            .map(|&index| node(index, images, below))
            .collect(),
    }
}

/// The tree as lines.
pub(crate) fn draw(nodes: &[Node]) -> String {
    let mut text = String::new();
    for node in nodes {
        text.push_str(&format!("{}\n", label(node)));
        draw_below(&node.snapshots, "", &mut text);
    }
    text
}

fn draw_below(nodes: &[Node], indent: &str, text: &mut String) {
    for (index, node) in nodes.iter().enumerate() {
        let (branch, room) = match index + 1 == nodes.len() {
            true => ("└── ", "    "),
            false => ("├── ", "│   "),
        };
        text.push_str(&format!("{indent}{branch}{}\n", label(node)));
        draw_below(&node.snapshots, &format!("{indent}{room}"), text);
    }
}

fn label(node: &Node) -> String {
    format!(
        "{} ({}, {} allocated)",
        node.image.path, node.image.known.size, node.image.known.allocated
    )
}

#[cfg(test)]
mod tests {
    use bd_model::{Bytes, Gfid, ImageKind};

    use super::super::report::Known;
    use super::*;

    fn image(lv: &str, origin: Option<&str>) -> ImageReport {
        ImageReport {
            volume: "vms".to_owned(),
            path: format!("/vg0/{lv}"),
            known: Known {
                size: Bytes(1 << 30),
                allocated: Bytes(1 << 20),
                kind: ImageKind::Thin,
                gfid: Gfid::from_bytes([7; 16]),
                lv: lv.parse().unwrap(),
                lv_size: Bytes(1 << 30),
                pool: Some("pool".parse().unwrap()),
                origin: origin.map(|origin| origin.parse().unwrap()),
            },
        }
    }

    #[test]
    fn snapshots_are_below_their_origins() {
        let images = vec![
            image("a", None),
            image("b", Some("a")),
            image("c", Some("b")),
            image("d", Some("a")),
            image("e", Some("gone")),
        ];
        assert_eq!(
            draw(&lineage(images)),
            "/vg0/a (1 GiB, 1 MiB allocated)\n\
             ├── /vg0/b (1 GiB, 1 MiB allocated)\n\
             │   └── /vg0/c (1 GiB, 1 MiB allocated)\n\
             └── /vg0/d (1 GiB, 1 MiB allocated)\n\
             /vg0/e (1 GiB, 1 MiB allocated)\n"
        );
    }

    #[test]
    fn the_json_shape_is_the_documented_one() {
        let nodes = lineage(vec![image("a", None), image("b", Some("a"))]);
        let gfid = "07070707-0707-0707-0707-070707070707";
        let expected = serde_json::json!([{
            "volume": "vms", "path": "/vg0/a", "size": 1 << 30, "allocated": 1 << 20,
            "kind": "thin", "gfid": gfid, "lv": "a", "lv_size": 1 << 30, "pool": "pool",
            "origin": null,
            "snapshots": [{
                "volume": "vms", "path": "/vg0/b", "size": 1 << 30, "allocated": 1 << 20,
                "kind": "thin", "gfid": gfid, "lv": "b", "lv_size": 1 << 30, "pool": "pool",
                "origin": "a", "snapshots": [],
            }],
        }]);
        assert_eq!(serde_json::to_value(&nodes).unwrap(), expected);
    }
}
