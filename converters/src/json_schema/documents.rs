//! Finds what a `$ref` refers to: in its own document, or in one that the schema names.

use std::sync::Arc;

use crate::json::Node;

/// How deep a document is searched for an identifier.
const MAX_DEPTH: usize = 100;

/// A schema within one of the documents.
#[derive(Clone, Copy)]
pub(crate) struct Place<'n> {
    /// By its number; the first is the schema itself.
    pub(crate) document: usize,
    pub(crate) node: &'n Node<'n>,
}

impl<'n> Place<'n> {
    /// Another node of the same document.
    pub(crate) fn at(self, node: &'n Node<'n>) -> Self {
        Self { node, ..self }
    }
}

/// A schema with all that it refers to.
pub(crate) struct Documents<'n> {
    /// With the names by which others refer to them; the first has none.
    pub(crate) documents: Vec<(Arc<str>, Node<'n>)>,
}

impl<'n> Documents<'n> {
    pub(crate) fn root(&'n self) -> Place<'n> {
        Place { document: 0, node: &self.documents[0].1 }
    }

    /// What a reference in this document means.
    pub(crate) fn resolve(&'n self, from: usize, reference: &str) -> Option<Place<'n>> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let root = self.document(from, address)?;
        if fragment.is_empty() {
            // An identifier may stand for a part of its document.
            return Some(root);
        }
        if let Some(pointer) = fragment.strip_prefix('/') {
            return follow(root.node, pointer).map(|node| root.at(node));
        }
        let name = format!("#{fragment}");
        find(root.node, &|node| is_called(node, &name), 0).map(|node| root.at(node))
    }

    fn document(&'n self, from: usize, address: &str) -> Option<Place<'n>> {
        let own = Place { document: from, node: &self.documents[from].1 };
        if address.is_empty() {
            return Some(own);
        }
        let base = id(own.node).or(Some(&*self.documents[from].0)).unwrap_or("");
        let beside = match base.rfind('/') {
            Some(slash) => format!("{}{address}", &base[..=slash]),
            None => address.to_owned(),
        };
        let is_meant = |name: &str| name == address || name == beside;
        let named = self.documents.iter().position(|(name, node)| {
            is_meant(name) || id(node).is_some_and(|id| is_meant(id.trim_end_matches('#')))
        });
        let place = |document| Place { document, node: &self.documents[document].1 };
        named.map(place).or_else(|| {
            find(own.node, &|node| id(node).is_some_and(is_meant), 0).map(|node| own.at(node))
        })
    }
}

fn id<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match node.get("$id").or_else(|| node.get("id")) {
        Some(Node::Text(id)) => Some(id),
        _ => None,
    }
}

fn is_called(node: &Node<'_>, name: &str) -> bool {
    let anchor = matches!(node.get("$anchor"), Some(Node::Text(anchor)) if **anchor == name[1..]);
    anchor || id(node) == Some(name)
}

fn find<'n>(
    node: &'n Node<'n>,
    is_it: &dyn Fn(&Node<'_>) -> bool,
    depth: usize,
) -> Option<&'n Node<'n>> {
    if depth == MAX_DEPTH {
        return None;
    }
    if is_it(node) {
        return Some(node);
    }
    match node {
        Node::Array(items) => items.iter().find_map(|item| find(item, is_it, depth + 1)),
        Node::Object(members) => {
            members.iter().find_map(|(_, member)| find(member, is_it, depth + 1))
        }
        _ => None,
    }
}

/// The node that a JSON pointer leads to, its first slash left out.
fn follow<'n>(root: &'n Node<'n>, pointer: &str) -> Option<&'n Node<'n>> {
    pointer.split('/').try_fold(root, |node, step| {
        let step = decoded(step).replace("~1", "/").replace("~0", "~");
        match node {
            Node::Array(items) => items.get(step.parse::<usize>().ok()?),
            node => node.get(&step),
        }
    })
}

/// Without the percent signs of addresses.
fn decoded(step: &str) -> String {
    let mut bytes = Vec::with_capacity(step.len());
    let mut rest = step.as_bytes();
    while let [byte, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.filter(|_| *byte == b'%').and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found() {
        let node = |text| Node::parse(text).unwrap();
        let documents = Documents {
            documents: vec![
                (
                    "".into(),
                    node(
                        r##"{"$id":"http://a/b/root.json","definitions":{"x/y":{"title":"xy"},
                        "z":{"$anchor":"zed","title":"z"},"i":{"$id":"#i","title":"i"},
                        "l":[{"title":"l"}]}}"##,
                    ),
                ),
                ("other.json".into(), node(r#"{"title":"o","$defs":{"p":{"title":"p"}}}"#)),
                ("http://a/b/next.json".into(), node(r#"{"title":"n"}"#)),
            ],
        };
        let title = |reference: &str| {
            let place = documents.resolve(0, reference)?;
            match place.node.get("title") {
                Some(Node::Text(title)) => Some((place.document, title.to_string())),
                _ => None,
            }
        };
        let cases = [
            ("#/definitions/x~1y", 0, "xy"),
            ("#/definitions/x%7e1y", 0, "xy"),
            ("#/definitions/l/0", 0, "l"),
            ("#zed", 0, "z"),
            ("#i", 0, "i"),
            ("other.json", 1, "o"),
            ("other.json#/$defs/p", 1, "p"),
            ("next.json", 2, "n"),
            ("http://a/b/next.json#", 2, "n"),
        ];
        for (reference, document, expected) in cases {
            assert_eq!(title(reference), Some((document, expected.to_owned())), "{reference}");
        }
        for missing in ["#/definitions/q", "#nobody", "absent.json", "#/definitions/l/7"] {
            assert!(documents.resolve(0, missing).is_none(), "{missing}");
        }
    }
}
