//! Short forms under random input: no reader panics, and what a printer prints reads back as the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use evenkeel::desired::Wanted;
use evenkeel::desired::convert::{canonical_image, parse_port, print_port, scalar, words};
use evenkeel::desired::manifest;
use evenkeel::desired::spec::{ContainerPort, PortBinding, Protocol};
use proptest::prelude::*;

use crate::keys::{file, load_text, spec_of};

fn address() -> impl Strategy<Value = Option<IpAddr>> {
    prop_oneof![
        Just(None),
        any::<u32>().prop_map(|bits| Some(IpAddr::V4(Ipv4Addr::from(bits)))),
        any::<u128>().prop_map(|bits| Some(IpAddr::V6(Ipv6Addr::from(bits)))),
    ]
}

fn binding() -> impl Strategy<Value = PortBinding> {
    let host = proptest::option::of((1..=u16::MAX, 1..=u16::MAX).prop_map(|(a, b)| (a.min(b), a.max(b))));
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    (1..=u16::MAX, protocol, address(), host).prop_map(|(port, protocol, host_ip, host_port)| PortBinding {
        container: ContainerPort { port, protocol },
        host_ip,
        host_port,
    })
}

/// Text that is close to a short form.
fn nearly() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[-0-9:./@\\[\\]a-zA-Z~,=$ ]{0,40}",
        "([0-9]{1,6}[-:]?){1,4}(/[a-z]{3})?",
        "([a-z.]{1,8}[/:]){0,3}[a-z]{1,5}(@sha256:[0-9a-f]{60,66})?",
        "([0-9.]{1,4}[a-zµ]{0,3}){1,4}",
    ]
}

/// A TOML value that people might write at any key.
fn value() -> impl Strategy<Value = String> {
    let text = nearly().prop_map(|text| toml::Value::String(text).to_string());
    let leaf = prop_oneof![
        4 => text,
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => (-1e6..1e6).prop_map(|number: f64| format!("{number:?}")),
        1 => any::<bool>().prop_map(|flag| flag.to_string()),
        1 => Just("2026-01-01".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let keys: Vec<String> = manifest::shapes().values().flatten().cloned().collect();
        let entry = (proptest::sample::select(keys), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::btree_map(entry.0, entry.1, 0..4).prop_map(|entries| {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_short_form_panics(text in nearly()) {
        let _ = parse_port(&text);
        let _ = canonical_image(&text);
        let _ = words::split(&text);
        let _ = scalar::duration(&text);
        let _ = scalar::size(&text);
        let _ = scalar::cores(&text);
    }

    #[test]
    fn faults_point_into_the_text(text in nearly()) {
        if let Err(fault) = parse_port(&text) {
            prop_assert!(text.get(fault.start..fault.end).is_some(), "{fault:?}");
        }
        if let Err(fault) = canonical_image(&text) {
            prop_assert!(text.get(fault.start..fault.end).is_some(), "{fault:?}");
        }
    }

    #[test]
    fn a_printed_port_reads_back(binding in binding()) {
        prop_assert_eq!(parse_port(&print_port(&binding)), Ok(vec![binding]));
    }

    #[test]
    fn printed_words_read_back(list in proptest::collection::vec(".{0,12}|['\"\\\\$`();&| a-z\n]{0,12}", 0..6)) {
        prop_assert_eq!(words::split(&words::join(&list)), Ok(list));
    }

    #[test]
    fn a_printed_duration_reads_back(nanoseconds in 0..=i64::MAX as u64) {
        prop_assert_eq!(scalar::duration(&scalar::print_duration(nanoseconds)), Ok(nanoseconds));
    }

    #[test]
    fn a_printed_size_reads_back(bytes in 0..=i64::MAX as u64, shift in 0_u32..40) {
        let bytes = bytes >> shift << shift;
        prop_assert_eq!(scalar::size(&scalar::print_size(bytes)), Ok(bytes));
    }

    #[test]
    fn cores_have_no_float_dirt(billionths in 0_u64..1_000_000_000_000) {
        let float = billionths as f64 / 1e9;
        prop_assert_eq!(scalar::cores(&float.to_string()), Ok(billionths));
    }

    #[test]
    fn a_canonical_image_is_its_own_canonical_form(text in nearly()) {
        if let Ok(image) = canonical_image(&text) {
            prop_assert_eq!(canonical_image(&image), Ok(image));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    /// Whatever stands at a key: a spec, or an error that says why there is none, or a service that is left as it is and says so, because
    /// nothing makes or chooses its image yet.
    #[test]
    fn any_value_at_any_key_is_a_spec_or_an_error(
        key in proptest::sample::select(manifest::keys("Service").iter().cloned().collect::<Vec<_>>()),
        value in value(),
    ) {
        let text = file(&format!("{key} = {value}"));
        let (state, diagnostics) = load_text(&text);
        let away = key == "on_hosts" || key == "profiles";
        let errors = diagnostics.iter().any(|told| told.is_error());
        let waits = |wanted: &Wanted| matches!(wanted, Wanted::Frozen(why) if why.iter().any(|told| told.slug == "not-run-yet" || told.slug == "image-not-chosen"));
        let later = ["build", "image_policy", "rollout"].contains(&key.as_str()) && state.services.values().any(waits);
        prop_assert!(errors || away || later || spec_of(&state).is_some(), "nothing said of {key} = {value}");
        for told in &diagnostics {
            let span = &told.primary.span;
            prop_assert!(span.file != "shop/web.toml" || text.get(span.start..span.end).is_some(), "{told:?}");
        }
    }
}
