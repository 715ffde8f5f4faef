use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::dockerfile::{read, rewritten};
use super::*;
use crate::desired::ident::ServiceId;
use crate::desired::work::answers::Asker;
use crate::desired::work::{Track, WorkId};
use crate::state::observed::ImageId;
use crate::state::time::Timestamp;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn bases(text: &str, args: &[(&str, &str)], target: Option<&str>) -> Result<Vec<String>, String> {
    let automatic = map(&[("TARGETARCH", "amd64")]);
    let reading = read(text, &map(args), &automatic, target)?;
    for base in &reading.bases {
        assert!(text.get(base.at.clone()).is_some(), "{text}: {base:?}");
    }
    Ok(reading.bases.into_iter().map(|base| base.image).collect())
}

#[test]
fn every_image_that_a_dockerfile_begins_with_is_found() {
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
    let rows: [Row; 26] = [
        ("FROM debian", &[], &["debian"]),
        ("from debian:12 as x\nFROM x\nfrom X AS y", &[], &["debian:12"]),
        ("FROM scratch\nCOPY a /", &[], &[]),
        ("FROM --platform=linux/amd64 debian:12 AS a", &[], &["debian:12"]),
        ("# syntax=docker/dockerfile:1\nFROM a\n# FROM b\n  # FROM c\n", &[], &["a"]),
        ("ARG V=12\nFROM debian:${V}", &[], &["debian:12"]),
        ("ARG V=12\nFROM debian:$V-slim", &[("V", "13")], &["debian:13-slim"]),
        ("ARG V\nFROM debian:${V:-12}", &[], &["debian:12"]),
        ("ARG V=\nFROM debian:${V:-12}", &[], &["debian:12"]),
        ("ARG V=\nFROM debian:x${V-12}", &[], &["debian:x"]),
        ("ARG R=ghcr.io/a\nARG I=${R}/b\nFROM $I:1", &[], &["ghcr.io/a/b:1"]),
        ("ARG A=1 B=2\nFROM x:$A$B", &[], &["x:12"]),
        ("ARG S=prod\nFROM a AS dev\nFROM b AS prod\nFROM ${S}", &[], &["a", "b"]),
        ("FROM x-${TARGETARCH}", &[], &["x-amd64"]),
        // An argument counts only when it is declared.
        ("FROM x:${V:-1}", &[("V", "2")], &["x:1"]),
        ("FROM a AS one\nARG V=9\nFROM b:${V:-1}", &[], &["a", "b:1"]),
        (
            "FROM a\nCOPY --from=busybox:1 /bin /bin\nCOPY --from=0 / /x\nCOPY --from=7 / /y",
            &[],
            &["a", "busybox:1", "7"],
        ),
        ("FROM a AS b\nFROM scratch\nCOPY --chown=1:1 --from=B /x /y", &[], &["a"]),
        ("FROM a\nCOPY x --from=b /", &[], &["a"]),
        ("FROM a\nRUN --mount=type=bind,from=tools:2,target=/t --network=none make", &[], &["a", "tools:2"]),
        ("FROM \\\n  # a comment between\n\n  debian:12 \\\n  AS x", &[], &["debian:12"]),
        ("# escape=`\nFROM a `\n AS b\nFROM b", &[], &["a"]),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\nFROM c", &[], &["a", "c"]),
        (
            "FROM a\nRUN cat <<-'EOF' > /x\n\tFROM b\n\tEOF\nCOPY <<X <<Y /\nFROM c\nX\nFROM d\nY\nFROM e",
            &[],
            &["a", "e"],
        ),
        ("FROM a\nRUN echo \"<<EOF\"\nFROM b", &[], &["a", "b"]),
        ("\u{feff}FROM \"debian:12\"\r\nRUN x\r\n", &[], &["debian:12"]),
    ];
    for (text, args, expected) in rows {
        assert_eq!(bases(text, args, None).as_deref(), Ok(expected.map_str().as_slice()), "{text}");
    }
}

trait MapStr {
    fn map_str(&self) -> Vec<String>;
}

impl MapStr for &[&str] {
    fn map_str(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[test]
fn stages_behind_the_one_that_is_built_do_not_count() {
    let text = "FROM a AS one\nFROM b AS two\nCOPY --from=c / /\nFROM d AS three";
    for (target, expected) in
        [(Some("one"), vec!["a"]), (Some("TWO"), vec!["a", "b", "c"]), (Some("1"), vec!["a", "b", "c"])]
    {
        assert_eq!(
            bases(text, &[], target).as_deref(),
            Ok(expected.as_slice().map_str().as_slice()),
            "{target:?}"
        );
    }
    assert_eq!(
        bases(text, &[], Some("four")).unwrap_err(),
        "the Dockerfile has no stage `four`; it has: one, two, three"
    );
}

#[test]
fn what_is_no_dockerfile_is_told() {
    for (text, why) in [
        ("", "no FROM"),
        ("RUN x", "no FROM"),
        ("FROM", "names no image"),
        ("FROM a b c", "FROM image AS name"),
        ("FROM $NOTHING", "no image is left"),
        ("FROM ${A", "closing brace"),
        ("FROM ${A:?say-A}", "say-A"),
        ("FROM a\nRUN <<EOF\nx", "do not end with `EOF`"),
    ] {
        let told = bases(text, &[], None).unwrap_err();
        assert!(told.contains(why), "{text}: {told}");
    }
}

#[test]
fn only_what_the_engines_own_builder_cannot_do_asks_for_buildkit() {
    for (text, expected) in [
        ("FROM a\nRUN make\nCOPY --from=b --chown=1 / /", None),
        ("FROM a\nRUN --mount=type=cache,target=/c make", Some("RUN --mount")),
        ("FROM a\nCOPY --link a /", Some("--link")),
        ("FROM a\nADD --checksum=x y /", Some("--checksum")),
        ("FROM a\nRUN <<EOF\nmake\nEOF", Some("a heredoc")),
    ] {
        let reading = read(text, &BTreeMap::new(), &BTreeMap::new(), None).unwrap();
        assert_eq!(reading.buildkit.as_deref(), expected, "{text}");
    }
}

#[test]
fn images_are_put_in_the_place_of_others_and_nothing_else_changes() {
    let text = "ARG B=base\n# FROM base\nFROM --platform=linux/amd64 ${B} AS base2\nFROM lib\nCOPY --from=base /base /\nRUN --mount=type=bind,from=lib,source=/lib x\n";
    let reading = read(text, &BTreeMap::new(), &BTreeMap::new(), None).unwrap();
    let others = map(&[("base", "evenkeel-build/a:1"), ("lib", "b@sha256:00")]);
    assert_eq!(
        rewritten(text, &reading, &others),
        "ARG B=base\n# FROM base\nFROM --platform=linux/amd64 evenkeel-build/a:1 AS base2\nFROM b@sha256:00\nCOPY --from=evenkeel-build/a:1 /base /\nRUN --mount=type=bind,from=b@sha256:00,source=/lib x\n"
    );
    assert_eq!(rewritten(text, &reading, &BTreeMap::new()), text);
}

fn piece() -> impl Strategy<Value = String> {
    let words = [
        "FROM",
        "ARG",
        "COPY",
        "RUN",
        "--from=",
        "--mount=",
        "from=",
        "<<",
        "<<-",
        "EOF",
        "AS",
        "a",
        "b:1",
        "$",
        "${",
        "}",
        ":-",
        "\\",
        "`",
        "\n",
        "\r\n",
        "\t",
        " ",
        "#",
        "# escape=`\n",
        "\"",
        "'",
        "=",
        "ä",
        "\u{feff}",
        "scratch",
    ];
    prop_oneof![3 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn nothing_that_is_read_as_a_dockerfile_breaks_the_reader(pieces in proptest::collection::vec(piece(), 0..40), target in proptest::option::of("[a-c0-2]")) {
        let text = pieces.concat();
        if let Ok(reading) = read(&text, &map(&[("a", "$b")]), &BTreeMap::new(), target.as_deref()) {
            for base in &reading.bases {
                prop_assert!(text.get(base.at.clone()).is_some_and(|word| !word.is_empty()), "{:?} {:?}", text, base);
            }
            prop_assert_eq!(rewritten(&text, &reading, &BTreeMap::new()), text.clone());
        }
    }
}

fn build(name: &str) -> Asker {
    Asker::Build(WorkId::new("shop", name).unwrap())
}

fn nodes(rows: &[(&str, &str, &[&str])]) -> BTreeMap<Asker, Node> {
    rows.iter()
        .map(|(name, image, bases)| {
            let bases = bases.iter().map(|base| (*base).to_owned()).collect();
            (build(name), Node { image: (*image).to_owned(), names: BTreeSet::new(), bases })
        })
        .collect()
}

fn names(askers: &[Asker]) -> Vec<String> {
    askers.iter().map(|asker| name_of(asker).replace("shop/builds.", "")).collect()
}

#[test]
fn builds_are_made_in_the_order_in_which_they_stand_on_each_other() {
    let mut all = nodes(&[
        ("app", "acme/app", &["acme/lib", "debian:12"]),
        ("lib", "acme/lib", &["docker.io/acme/base:latest"]),
        ("base", "acme/base", &[]),
        ("other", "acme/other", &["acme/base:1.0", "acme/base:2.0"]),
        ("tool", "acme/tool", &["acme/app"]),
    ]);
    all.get_mut(&build("base")).unwrap().names.insert("acme/base:1.0".to_owned());
    let found = graph(&all);
    assert_eq!(names(&found.order), ["base", "lib", "other", "app", "tool"]);
    assert_eq!(
        found.stands_on[&build("lib")],
        BTreeMap::from([("docker.io/acme/base:latest".to_owned(), build("base"))])
    );
    // A tag that the build does not keep is an image of its own.
    assert_eq!(
        found.stands_on[&build("other")],
        BTreeMap::from([("acme/base:1.0".to_owned(), build("base"))])
    );
    assert!(found.circles.is_empty());
    let below: Vec<Asker> = found.all_below([build("app")]).into_iter().collect();
    assert_eq!(names(&below), ["app", "base", "lib"]);
}

#[test]
fn builds_in_a_circle_are_told_with_the_way_and_the_others_are_made() {
    let found = graph(&nodes(&[
        ("a", "a", &["b"]),
        ("b", "b", &["c"]),
        ("c", "c", &["a"]),
        ("d", "d", &["a"]),
        ("own", "own", &["own"]),
        ("e", "e", &[]),
    ]));
    assert_eq!(names(&found.order), ["e"]);
    assert_eq!(names(&found.circles[&build("a")]), ["a", "b", "c", "a"]);
    assert_eq!(names(&found.circles[&build("own")]), ["own", "own"]);
    assert!(!found.circles.contains_key(&build("d")));
}

fn inputs(definition: &str, content: &str, commit: Option<&str>, bases: &[(&str, &str)]) -> Inputs {
    Inputs {
        definition: definition.to_owned(),
        content: content.to_owned(),
        commit: commit.map(str::to_owned),
        bases: map(bases),
    }
}

fn made(id: &str, inputs: Inputs) -> Made {
    Made {
        id: id.to_owned(),
        image: format!("app:{id}"),
        image_id: ImageId(format!("sha256:{id}")),
        tag: id.to_owned(),
        names: vec![format!("keep:{id}"), format!("app:{id}"), "app:latest".to_owned()],
        inputs,
        causes: vec![Cause::First],
        commit: None,
        at: Timestamp(0),
        took_ms: 1,
        digest: None,
    }
}

#[test]
fn what_makes_a_build_due() {
    let both = BTreeSet::from([Track::Source, Track::Base]);
    let (source, base) = (BTreeSet::from([Track::Source]), BTreeSet::from([Track::Base]));
    let last = inputs("d", "c", Some("1"), &[("x", "1"), ("y", "1")]);
    let rows: [(&BTreeSet<Track>, Inputs, Vec<Cause>); 11] = [
        (&both, last.clone(), vec![]),
        (&both, Inputs { definition: "e".to_owned(), ..last.clone() }, vec![Cause::Definition]),
        (&both, Inputs { content: "k".to_owned(), ..last.clone() }, vec![Cause::Source]),
        (&base, Inputs { content: "k".to_owned(), ..last.clone() }, vec![]),
        (&both, Inputs { commit: Some("2".to_owned()), ..last.clone() }, vec![Cause::Commit]),
        (&base, Inputs { commit: Some("2".to_owned()), ..last.clone() }, vec![]),
        (
            &both,
            Inputs { bases: map(&[("x", "2"), ("y", "1")]), ..last.clone() },
            vec![Cause::Base("x".to_owned())],
        ),
        (&source, Inputs { bases: map(&[("x", "2"), ("y", "1")]), ..last.clone() }, vec![]),
        // One of which nobody knew what it was, and one that nobody knows any more.
        (&both, Inputs { bases: map(&[("z", "1"), ("y", "1")]), ..last.clone() }, vec![]),
        (&both, Inputs { bases: BTreeMap::new(), ..last.clone() }, vec![]),
        (
            &both,
            inputs("e", "k", Some("2"), &[("x", "2"), ("y", "2")]),
            vec![Cause::Definition, Cause::Source, Cause::Base("x".to_owned()), Cause::Base("y".to_owned())],
        ),
    ];
    for (track, now, expected) in rows {
        assert_eq!(causes(track, Some(&last), &now), expected, "{track:?} {now:?}");
    }
    assert_eq!(causes(&both, None, &last), [Cause::First]);
}

#[test]
fn a_build_that_failed_is_tried_again_when_something_changed_or_when_it_may_pass() {
    let track = BTreeSet::from([Track::Source, Track::Base]);
    let good = inputs("d", "1", None, &[("x", "1")]);
    let bad = inputs("d", "2", None, &[("x", "1")]);
    let failed = |transient| Failed {
        id: "2".to_owned(),
        at: Timestamp(0),
        inputs: bad.clone(),
        why: "no".to_owned(),
        transient,
        tries: 0,
    };
    let mut record = BuildRecord::default();
    assert_eq!(judge(&track, &record, &good, false), Verdict::Due(vec![Cause::First]));
    record.succeed(made("1", good.clone()), 3);
    assert_eq!(judge(&track, &record, &good, false), Verdict::Current);
    assert_eq!(judge(&track, &record, &good, true), Verdict::Due(vec![Cause::Asked]));
    record.fail(failed(false));
    assert_eq!(judge(&track, &record, &bad, false), Verdict::Failed);
    assert_eq!(judge(&track, &record, &bad, true), Verdict::Due(vec![Cause::Source, Cause::Asked]));
    // Back to what is good: nothing is to be done.
    assert_eq!(judge(&track, &record, &good, false), Verdict::Current);
    let mended = inputs("d", "3", None, &[("x", "1")]);
    assert_eq!(judge(&track, &record, &mended, false), Verdict::Due(vec![Cause::Source]));
    let on_another_base = inputs("d", "2", None, &[("x", "2")]);
    let due = vec![Cause::Source, Cause::Base("x".to_owned())];
    assert_eq!(judge(&track, &record, &on_another_base, false), Verdict::Due(due));
    record.fail(failed(true));
    record.fail(failed(true));
    assert_eq!(record.failed.as_ref().unwrap().tries, 3);
    assert_eq!(judge(&track, &record, &bad, false), Verdict::Later(backoff_ms(3)));
    assert_eq!(
        [backoff_ms(0), backoff_ms(1), backoff_ms(2), backoff_ms(99)],
        [15_000, 15_000, 30_000, 3_600_000]
    );
}

#[test]
fn old_images_lose_their_names_but_not_those_that_a_newer_one_has() {
    let mut record = BuildRecord::default();
    for id in ["1", "2", "3", "4"] {
        record.succeed(made(id, Inputs::default()), 2);
    }
    let kept: Vec<&str> = record.made.iter().map(|made| made.id.as_str()).collect();
    assert_eq!(kept, ["4", "3"]);
    let dropped: Vec<&str> = record.dropped.iter().map(|dropped| dropped.name.as_str()).collect();
    assert_eq!(dropped, ["keep:1", "app:1", "keep:2", "app:2"]);
    let mut record = BuildRecord::default();
    let mut gone = Vec::new();
    for id in 0..12 {
        gone.extend(record.log_begins(&id.to_string(), 2));
    }
    assert_eq!(gone, ["0", "1", "2", "3", "4"]);
    assert_eq!(record.next_id("11"), "11-2");
    assert_eq!(record.next_id("12"), "12");
}

#[test]
fn names_are_those_of_an_image_whatever_a_project_is_called() {
    for (project, name, expected) in [
        ("shop", "app", "evenkeel-build/shop--builds.app"),
        ("shop", "A", "evenkeel-build/shop--builds.a-"),
        ("shop", "a..b__", "evenkeel-build/shop--builds.a.b-"),
        ("shop", "_x", "evenkeel-build/shop--builds.x-"),
    ] {
        let id = WorkId::new(project, name).unwrap();
        let repository = keep_repository(&Asker::Build(id));
        assert!(repository.starts_with(expected), "{repository}");
        assert!(crate::desired::convert::canonical_image(&repository).is_ok(), "{repository}");
    }
    let service = Asker::Service(ServiceId::new("shop", "web").unwrap());
    assert_eq!(name_of(&service), "shop/services.web");
    assert_eq!(stamp(Timestamp(1_537_690_996_123)), "20180923T082316Z");
    assert_eq!(branch_in_tag("feature/x y"), "feature-x-y");
}
