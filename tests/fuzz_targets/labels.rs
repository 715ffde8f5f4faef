//! Labels: lines `name=value`, as a container of anyone's may carry them.

use std::collections::BTreeMap;

use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::ServiceId;
use evenkeel::engine::convert::labels::{NotOurs, decode, of_container};
use evenkeel::state::observed::{ImageId, OwnLabels, label};
use evenkeel::state::record::RevisionId;

use super::{Input, assert_harmless};

const OWNER: &str = "evenkeel";

pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines = text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
    let labels: BTreeMap<String, String> =
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let found = decode(&labels, OWNER);
    match &found {
        Ok(own) => {
            assert_eq!(labels.get(label::OWNER).map(String::as_str), Some(OWNER));
            assert_eq!(own.owner, OWNER);
            assert!(own.slot > 0);
            let written = of_container(&labels, own);
            assert_eq!(decode(&written, OWNER).as_ref(), Ok(own), "written and read back");
            for name in
                [label::PROJECT, label::SERVICE, label::SLOT, label::REVISION, label::SPEC, label::IMAGE_ID]
            {
                let mut less = labels.clone();
                less.remove(name);
                assert_eq!(decode(&less, OWNER), Err(NotOurs::Missing(name)), "half of our labels are none");
            }
        }
        Err(why) => assert_harmless("a reason", &why.to_string().replace(['\n'], "")),
    }
    // Foreign is what does not say that it is ours, whatever else it says.
    let mut foreign = labels.clone();
    foreign.remove(label::OWNER);
    assert_eq!(decode(&foreign, OWNER), Err(NotOurs::NoOwner));
    foreign.insert(label::OWNER.to_owned(), "evenkeel2".to_owned());
    assert!(matches!(decode(&foreign, OWNER), Err(NotOurs::OtherOwner(_))));
    ours_win(&labels, input);
}

/// Whatever labels a spec asks for, ours are written over them and read back as they were meant.
fn ours_win(labels: &BTreeMap<String, String>, input: &[u8]) {
    let mut input = Input(input);
    let (slot, spec) = (u32::from(input.byte()) + 1, SpecHash::parse(&"a".repeat(64)).unwrap());
    let image = ImageId(format!("sha256:{}", "0".repeat(64)));
    let own = OwnLabels {
        owner: OWNER.to_owned(),
        service: ServiceId::new("shop", "web").unwrap(),
        slot,
        revision: RevisionId::of(&spec, &image),
        spec,
        image,
        image_ref: input.line(),
        image_digest: (slot % 2 == 0).then(|| input.line()),
        source: input.line(),
        hook: None,
        job: None,
    };
    let mut spec = labels.clone();
    if own.image_digest.is_none() {
        spec.remove(label::IMAGE_DIGEST);
    }
    assert_eq!(decode(&of_container(&spec, &own), OWNER), Ok(own));
}
