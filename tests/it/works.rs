//! Jobs, builds, artifacts, notifications, and services whose image is chosen: what they become, what is said about them, and that a
//! service that this version cannot run stays as it is.

use std::collections::BTreeSet;

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::work::schedule::{Schedule, zones};
use evenkeel::desired::work::{
    ArtifactSource, BuildContext, Ending, ImageSource, Overlap, Pick, Runs, Trigger, WorkId, Works,
};
use evenkeel::desired::{DesiredState, SourcesLoader, Wanted, load};

fn host() -> HostFacts {
    HostFacts { name: "fra1".to_owned(), home: Some("/root".to_owned()), ..HostFacts::default() }
}

fn snapshot(text: &str) -> Snapshot {
    let files = [("shop/it.toml", text), ("shop/.env", "TOKEN=geheim\nHOUR=2\n")];
    let files = files.map(|(path, text)| {
        (RelPath::new(path).unwrap(), FileContent::Read(text.as_bytes().to_vec().into()))
    });
    Snapshot { root: "/srv/desired".to_owned(), files: files.into(), ..Snapshot::default() }
}

fn state(text: &str) -> (DesiredState, Vec<String>) {
    let (state, told) = load(&snapshot(text), &host());
    (state, told.iter().map(Diagnostic::headline).collect())
}

fn works(text: &str) -> Works {
    let (state, told) = state(text);
    assert!(told.is_empty(), "{told:#?}\n{text}");
    state.works
}

fn id(name: &str) -> WorkId {
    WorkId::new("shop", name).unwrap()
}

#[test]
fn a_job_has_a_container_like_a_service_and_a_trigger() {
    let works = works(
        "[defaults.jobs]\nimage = \"prices:3\"\ntimezone = \"europe/berlin\"\nuser = \"1200\"\noverlap = \"queue\"\n\
         [jobs.fetch]\nschedule = \"*/15 6-22 * * MON-fri\"\ncommand = \"prices fetch\"\ntimeout = \"10m\"\nretries = 2\njitter = \"20s\"\n\
         [jobs.report]\nafter = { fetch = \"succeeded\" }\ncatch_up = \"once\"\nstart_within = \"6h\"\nkeep = { success = 1 }\n\
         deploy.resources.limits.memory = \"2g\"\n\
         [jobs.migrate]\non_change = true\n",
    );
    let fetch = works.jobs[&id("fetch")].wanted().unwrap();
    let Trigger::Schedule(schedule) = &fetch.trigger else { panic!("{fetch:?}") };
    assert_eq!(schedule.as_str(), "*/15 6-22 * * 1-5");
    assert_eq!(fetch.timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!((fetch.timeout_ms, fetch.retries, fetch.jitter_ms), (Some(600_000), 2, 20_000));
    assert_eq!(fetch.overlap, Overlap::Queue);
    let Runs::Container { spec, image: ImageSource::Said } = &fetch.runs else { panic!("{fetch:?}") };
    assert_eq!(spec.container.image, "prices:3");
    assert_eq!(spec.container.user.as_deref(), Some("1200"));
    assert_eq!(spec.container.command.as_deref(), Some(&["prices".to_owned(), "fetch".to_owned()][..]));
    assert_eq!(fetch.source.line, 6);
    let report = works.jobs[&id("report")].wanted().unwrap();
    let Trigger::After(after) = &report.trigger else { panic!("{report:?}") };
    assert_eq!(after.values().collect::<Vec<_>>(), [&Ending::Succeeded]);
    assert!(report.catch_up);
    assert_eq!((report.keep.success, report.keep.failure), (1, 5));
    assert_eq!(works.jobs[&id("migrate")].wanted().unwrap().trigger, Trigger::Change);
}

#[test]
fn a_command_within_a_service_takes_no_container_from_the_defaults() {
    let works = works(
        "[defaults.jobs]\nimage = \"prices:3\"\nvolumes = [\"/srv:/srv\"]\nenvironment = { TZ = \"UTC\" }\n\
         [services.db]\nimage = \"postgres:16\"\n\
         [jobs.vacuum]\nschedule = \"@weekly\"\nexec_in = \"services.db\"\ncommand = \"vacuumdb --all\"\n",
    );
    let vacuum = works.jobs[&id("vacuum")].wanted().unwrap();
    let Runs::Exec(exec) = &vacuum.runs else { panic!("{vacuum:?}") };
    assert_eq!((exec.service.as_str(), exec.command.len()), ("db", 2));
    assert!(exec.environment.contains_key("TZ"));
}

#[test]
fn a_build_that_names_no_context_is_made_of_the_folder_of_its_file() {
    let works = works("[builds.docs]\nimage = \"acme/docs\"\ndockerfile = \"docs.Dockerfile\"\n");
    let docs = works.builds[&id("docs")].wanted().unwrap();
    assert_eq!(docs.context, BuildContext::Folder("/srv/desired/shop".to_owned()));
}

#[test]
fn a_build_and_what_is_copied_out_of_it() {
    let works = works(
        "[builds.docs]\ncontext = \"https://github.com/acme/docs.git#main:site\"\nimage = \"registry.example.com/acme/docs\"\n\
         args = { GIT_COMMIT = \"${git.hash}\", TOKEN = \"${TOKEN}\" }\ntag = \"v-${git.short}\"\npush = true\ntrack = \"source\"\nevery = \"2m\"\n\
         [artifacts.static]\nfrom = \"builds.docs\"\npath = \"/srv//html/\"\nto = \"/var/www/docs\"\nrequire = [\"index.html\"]\n\
         owner = \"www-data:www-data\"\nkeep = 3\nafter_switch = [{ command = \"reload now\", on_error = \"continue\" }]\n\
         [notify.ops]\nurl = \"https://ntfy.example.com/${TOKEN}\"\nevents = [\"job.*\", \"update.rolled-back\"]\n",
    );
    let docs = works.builds[&id("docs")].wanted().unwrap();
    assert_eq!(
        docs.context,
        BuildContext::Git {
            url: "https://github.com/acme/docs.git".to_owned(),
            reference: Some("main".to_owned()),
            folder: Some("site".to_owned())
        }
    );
    // Known when it is built; the project's own variables are known now.
    assert_eq!(docs.args["GIT_COMMIT"].as_ref().unwrap().expose(), "${git.hash}");
    assert_eq!(docs.args["TOKEN"].as_ref().unwrap().expose(), "geheim");
    assert!(!format!("{docs:?}").contains("geheim"));
    assert_eq!(
        (docs.policy.tag.as_str(), docs.policy.push, docs.policy.every_ms),
        ("v-${git.short}", true, Some(120_000))
    );
    assert_eq!(docs.policy.track.len(), 1);
    let files = works.artifacts[&id("static")].wanted().unwrap();
    assert_eq!(files.from, ArtifactSource::Build(id("docs")));
    assert_eq!((files.path.as_str(), files.to.as_str(), files.keep), ("/srv/html", "/var/www/docs", 3));
    assert!(!files.after_switch[0].abort);
    let ops = works.notify[&id("ops")].wanted().unwrap();
    let events: Vec<&str> = ops.events.iter().map(String::as_str).collect();
    assert_eq!(events, ["job.failed", "job.missed", "job.succeeded", "update.rolled-back"]);
    assert!(!format!("{ops:?}").contains("geheim"));
}

#[test]
fn a_definition_has_a_digest_that_does_not_tell_where_it_is_written() {
    let of = |text: &str| {
        let works = works(text);
        let job = works.jobs[&id("a")].wanted().unwrap().definition();
        let build = works.builds[&id("a")].wanted().unwrap().definition();
        let files = works.artifacts[&id("a")].wanted().unwrap().definition();
        [job, build, files]
    };
    let text = "[jobs.a]\nimage = \"x:1\"\n[builds.a]\ncontext = \".\"\nimage = \"y\"\n[artifacts.a]\nfrom = \"x\"\npath = \"/a\"\nto = \"/b/c\"\n";
    let first = of(text);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
    let lower = of(&format!("# moved down\n\n{text}"));
    assert_eq!((&first[0], &first[2]), (&lower[0], &lower[2]));
    assert_eq!(first[1], lower[1]);
    assert_ne!(first, of(&text.replace("x:1", "x:2").replace("\"y\"", "\"z\"").replace("/b/c", "/b/d")));
}

/// Lines, why they are not run, and what the image is chosen by.
type Chosen = (&'static str, &'static str, fn(&ImageSource) -> bool);

#[test]
fn a_service_whose_image_is_chosen_stays_as_it_is_and_says_why() {
    let rows: [Chosen; 7] = [
        (
            "image = \"r\"\nimage_policy = { semver = \">=2.0, <3\", min_age = \"30m\" }\nenvironment = { RELEASE = \"${service.tag}\" }",
            "no tag was chosen",
            |image| matches!(image, ImageSource::Policy(policy) if policy.min_age_ms == 1_800_000 && matches!(&policy.pick, Pick::Semver { range, .. } if range == ">=2.0, <3")),
        ),
        (
            "image = \"r\"\nimage_policy = { number = '^b-(\\d+)$', exclude = '-x$' }",
            "no tag was chosen",
            |image| matches!(image, ImageSource::Policy(policy) if policy.pick == Pick::Number { pattern: "^b-(\\d+)$".to_owned() } && policy.exclude.as_deref() == Some("-x$")),
        ),
        ("image = \"r\"\nimage_policy = { timestamp = \"%Y-%m-%d\" }", "no tag was chosen", |image| {
            matches!(image, ImageSource::Policy(_))
        }),
        ("image = \"r\"\nimage_policy = { same_as = \"services.other\" }", "no tag was chosen", |image| {
            matches!(image, ImageSource::Policy(_))
        }),
        (
            "build = \"./src\"",
            "was not built",
            |image| matches!(image, ImageSource::Build(build) if build.context == BuildContext::Folder("/srv/desired/shop/src".to_owned())),
        ),
        ("image = \"acme/docs\"", "made by builds.docs", |image| matches!(image, ImageSource::Built(_))),
        (
            "image = \"r:1\"\nrollout = { strategy = \"blue-green\", switch = \"alias\" }",
            "move names",
            |image| *image == ImageSource::Said,
        ),
    ];
    for (lines, why, right) in rows {
        let text = format!(
            "[services.web]\n{lines}\n[services.other]\nimage = \"other:1\"\n[builds.docs]\ncontext = \".\"\nimage = \"acme/docs\"\n"
        );
        let (state, told) = state(&text);
        assert!(told.is_empty(), "{told:#?}\n{lines}");
        let web = ServiceId::new("shop", "web").unwrap();
        let Wanted::Frozen(reasons) = &state.services[&web] else { panic!("it would be run: {lines}") };
        let switch = lines.contains("alias");
        let slug = if switch { "not-run-yet" } else { "image-not-chosen" };
        assert!(reasons.iter().all(|told| told.slug == slug && !told.is_error()), "{reasons:#?}");
        assert!(reasons[0].message.contains(why), "{reasons:#?}");
        assert!(reasons[0].line >= 2, "{reasons:#?}");
        match state.works.chosen.get(&web) {
            Some(chosen) => assert!(right(&chosen.image), "{:#?}", chosen.image),
            None => assert!(switch, "{lines}"),
        }
        assert!(matches!(state.services[&ServiceId::new("shop", "other").unwrap()], Wanted::Run(_)));
        // An explicit tag is what it says, even where the name is one that is built.
        assert!(state.broken.is_empty());
    }
    let (state, _) = state(
        "[services.web]\nimage = \"acme/docs:latest\"\n[builds.docs]\ncontext = \".\"\nimage = \"acme/docs\"\n",
    );
    assert!(matches!(state.services[&ServiceId::new("shop", "web").unwrap()], Wanted::Run(_)));
}

#[test]
fn a_job_that_is_alone_gets_its_network_its_secrets_and_the_zone_of_its_host() {
    let text = "[secrets.token]\nfile = \"./token\"\n[jobs.a]\nimage = \"x:1\"\nsecrets = [\"token\"]\nschedule = \"@daily\"\n\
                [jobs.b]\nimage = \"x:1\"\nschedule = \"@daily\"\ntimezone = \"UTC\"\n";
    let mut snapshot = snapshot(text);
    let fleet = b"[hosts.fra1]\ntimezone = \"America/New_York\"\n".to_vec();
    snapshot.files.insert(RelPath::new("fleet.toml").unwrap(), FileContent::Read(fleet.into()));
    snapshot.files.insert(RelPath::new("shop/token").unwrap(), FileContent::Read(b"t".to_vec().into()));
    let (state, told) = load(&snapshot, &host());
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(state.networks.keys().collect::<Vec<_>>(), ["shop_default"]);
    assert!(state.provided.values().all(evenkeel::desired::provided::Provided::is_used));
    let zone = |name: &str| state.works.jobs[&id(name)].wanted().unwrap().timezone.clone();
    assert_eq!((zone("a").as_deref(), zone("b").as_deref()), (Some("America/New_York"), Some("UTC")));
}

#[test]
fn a_job_whose_image_is_built_here_runs_the_newest_good_one() {
    let image = |text: &str| match &works(text).jobs[&id("a")].wanted().unwrap().runs {
        Runs::Container { image, .. } => image.clone(),
        other => panic!("{other:?}"),
    };
    let build = "[builds.docs]\ncontext = \".\"\nimage = \"acme/docs\"\n";
    let built = image(&format!("[jobs.a]\nimage = \"acme/docs\"\n{build}"));
    assert_eq!(built, ImageSource::Built(id("docs")));
    assert_eq!(image(&format!("[jobs.a]\nimage = \"acme/docs:latest\"\n{build}")), ImageSource::Said);
    assert_eq!(image(&format!("[jobs.a]\nimage = \"other\"\n{build}")), ImageSource::Said);
}

#[test]
fn hooks_of_a_job_are_told_not_to_be_run() {
    let text = "[jobs.a]\nimage = \"x:1\"\npre_start = [{ command = [\"x\"] }]\n";
    assert_eq!(state(text).1, Vec::<String>::new());
    let loaded = SourcesLoader::default().load(&snapshot(text), &host());
    let told: Vec<String> = loaded.diagnostics.iter().map(Diagnostic::headline).collect();
    assert_eq!(
        told,
        [
            "shop/it.toml:3:1: warning[not-run-yet]: jobs.a.pre_start was read and checked, and is not run for jobs yet"
        ]
    );
}

#[test]
fn what_is_not_run_is_told_where_something_is_done_and_not_where_files_are_checked() {
    let text = "[jobs.a]\nimage = \"x:1\"\n[builds.b]\ncontext = \".\"\nimage = \"y\"\n[artifacts.c]\nfrom = \"x\"\npath = \"/a\"\nto = \"/b/c\"\n\
                [notify.d]\nurl = \"https://example.com\"\n[services.e]\nimage = \"z:1\"\nrollout = { strategy = \"blue-green\", switch = \"alias\" }\n";
    assert_eq!(state(text).1, Vec::<String>::new());
    let loaded = SourcesLoader::default().load(&snapshot(text), &host());
    let told: Vec<String> = loaded.diagnostics.iter().map(Diagnostic::headline).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("shop/it.toml:14:38: warning[not-run-yet]"), "{told:#?}");
}

#[test]
fn faults_of_jobs_builds_and_artifacts_are_told_at_their_place() {
    for (text, expected) in [
        (
            "[jobs.a]\nimage = \"x:1\"\nrestart = \"always\"",
            "3:1: error[unsupported-key]: `restart` in jobs.a is not supported",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\nports = [\"80\"]",
            "3:1: error[unsupported-key]: `ports` in jobs.a is not supported",
        ),
        (
            "[jobs.a]\nschedule = \"@daily\"",
            "1:1: error[missing-image]: jobs.a has neither `image` nor `build`",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\nschedul = \"@daily\"",
            "3:1: error[unknown-key]: unknown key `schedul` in jobs.a",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\ndeploy.replicas = 2",
            "3:8: error[misplaced]: `deploy.replicas` is for services",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\nschedule = \"@daily\"\non_change = true",
            "4:1: error[conflicting-values]: `jobs.a.schedule` and `jobs.a.on_change` both start the job",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\nafter = { b = \"succeeded\" }",
            "3:11: error[unknown-job]: no job `b` in project `shop`",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\nafter = { a = \"succeeded\" }",
            "3:11: error[dependency-cycle]: job `a` would wait for itself",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\nafter = { b = \"failed\" }\n[jobs.b]\nimage = \"x:1\"\nafter = { a = \"finished\" }",
            "1:1: error[dependency-cycle]: jobs wait for each other: a -> b -> a",
        ),
        (
            "[jobs.a]\nexec_in = \"services.b\"\ncommand = \"x\"",
            "2:21: error[unknown-dependency]: no service `b` in project `shop`",
        ),
        (
            "[jobs.a]\nexec_in = \"services.b\"\n[services.b]\nimage = \"x:1\"",
            "1:1: error[missing-key]: jobs.a does not say what to run",
        ),
        (
            "[jobs.a]\nexec_in = \"services.b\"\ncommand = \"x\"\nvolumes = [\"/a:/a\"]\n[services.b]\nimage = \"x:1\"",
            "4:1: error[conflicting-values]: `volumes` is about a container of its own",
        ),
        (
            "[jobs.a]\nimage = \"x:1\"\noverlap = \"later\"",
            "3:11: error[bad-choice]: `later` is not a way to overlap",
        ),
        ("[jobs.a]\nimage = \"x:1\"\nretries = -1", "3:11: error[out-of-range]: `jobs.a.retries` is below 0"),
        ("[jobs.a]\nimage = \"x:1\"\ntimeout = 60", "3:11: error[unit-missing]: a duration needs a unit"),
        (
            "[jobs.a]\nimage = \"x:1\"\nschedule = \"0 0 31 ${HOUR} *\"",
            "3:12: error[bad-cron]: day 31 never comes in month 2",
        ),
        (
            "[builds.a]\ncontext = \".\"",
            "1:1: error[missing-image]: builds.a does not say what its image is called",
        ),
        (
            "[builds.a]\ncontext = \".\"\nimage = \"x:1\"",
            "3:11: error[tag-and-policy]: `builds.a.tag` picks the tag of a build",
        ),
        (
            "[builds.a]\ncontext = \".\"\nimage = \"x\"\nplatforms = [\"plan9\"]",
            "4:14: error[bad-choice]: `plan9` is not a platform",
        ),
        (
            "[builds.a]\ncontext = \".\"\nimage = \"x\"\nargs = { A = \"${git.hsah}\" }",
            "4:15: error[unknown-built-in]: `git.hsah` is not a built-in variable",
        ),
        (
            "[services.a]\nimage = \"x:1\"\nenvironment = { A = \"${git.hash}\" }",
            "3:22: error[unknown-built-in]: `git.hash` is not a built-in variable",
        ),
        (
            "[artifacts.a]\nfrom = \"builds.b\"\npath = \"/a\"\nto = \"/b/c\"",
            "2:16: error[unknown-build]: no build `b` in project `shop`",
        ),
        (
            "[artifacts.a]\nfrom = \"x\"\npath = \"a\"\nto = \"/b/c\"",
            "3:8: error[bad-path]: `a` is not an absolute path",
        ),
        (
            "[artifacts.a]\nfrom = \"x\"\npath = \"/a\"\nto = \"/etc\"",
            "4:6: error[bad-path]: `/etc` is too high up to be replaced as a whole",
        ),
        ("[artifacts.a]\nfrom = \"x\"\npath = \"/a\"", "1:1: error[missing-key]: artifacts.a has no `to`"),
        (
            "[artifacts.a]\nfrom = \"x\"\npath = \"/a\"\nto = \"/b/c\"\nrequire = \"../x\"",
            "5:11: error[bad-path]: `../x` is not a path within the artifact",
        ),
        (
            "[artifacts.a]\nfrom = \"x\"\npath = \"/a\"\nto = \"/b/c\"\nowner = \"a:b:c\"",
            "5:9: error[bad-owner]: `a:b:c` is not an owner",
        ),
        (
            "[notify.a]\nurl = \"ftp://x\"",
            "2:7: error[bad-url]: `notify.a.url` is not an address that can be posted to",
        ),
        (
            "[notify.a]\nurl = \"https://x\"\nevents = [\"job.faild\"]",
            "3:11: error[bad-choice]: `job.faild` is not an event",
        ),
        ("[jobs]\na = 1", "2:5: error[bad-type]: `jobs.a` takes a table, not a whole number"),
        ("[jobs.\"a b\"]\nimage = \"x:1\"", "1:2: error[bad-name]: `a b` cannot be the name of a job"),
        (
            "[defaults.jobs]\nports = [\"80\"]",
            "2:1: error[unsupported-key]: `ports` in defaults.jobs is not supported",
        ),
    ] {
        let (state, told) = state(text);
        assert_eq!(told, [format!("shop/it.toml:{expected}")], "{text}");
        let all = state.works.jobs.values().filter(|work| work.wanted().is_some()).count()
            + state.works.builds.values().filter(|work| work.wanted().is_some()).count()
            + state.works.artifacts.values().filter(|work| work.wanted().is_some()).count();
        assert_eq!(all, 0, "it is wanted all the same: {text}");
    }
}

#[test]
fn schedules_are_read_as_cron_reads_them() {
    for (text, canonical) in [
        ("30 2 * * *", "30 2 * * *"),
        ("  */15\t6-22 * * mon-fri ", "*/15 6-22 * * 1-5"),
        ("0 0 1,15 JAN-mar,12 ?", "0 0 1,15 1-3,12 *"),
        ("0 0 * * fri-sun", "0 0 * * 5-7"),
        ("0-59/5 * L * *", "0-59/5 * L * *"),
        ("0 0 15W * *", "0 0 15W * *"),
        ("0 0 * * 5#2", "0 0 * * 5#2"),
        ("0 0 * * 5L", "0 0 * * 5#L"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 31 2 mon", "0 0 31 2 1"),
        ("0 0 31 1-2 *", "0 0 31 1-2 *"),
        ("@daily", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
    ] {
        let schedule = Schedule::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        assert_eq!(schedule.as_str(), canonical, "{text}");
        assert!(schedule.cron().is_some());
        assert_eq!(Schedule::parse(canonical).unwrap(), schedule, "{text}");
    }
}

#[test]
fn what_is_no_schedule_is_told_with_its_field() {
    for (text, at, message) in [
        ("30 25 * * *", "25", "hour 25 is outside 0-23"),
        ("60 2 * * *", "60", "minute 60 is outside 0-59"),
        ("0 0 0 * *", "0", "day of the month 0 is outside 1-31"),
        ("0 0 * 13 *", "13", "month 13 is outside 1-12"),
        ("0 0 * * 8", "8", "day of the week 8 is outside 0-7"),
        ("0 0 * * mno", "mno", "`mno` is not a day of the week"),
        ("0 0 * febr *", "febr", "`febr` is not a month"),
        ("mon 0 * * *", "mon", "`mon` is not a minute"),
        ("5-3 * * * *", "5-3", "the range 5-3 of the minute runs backwards"),
        ("1,,2 * * * *", ",", "a value of the minute is missing"),
        ("0 0 31 * 4,", ",", "a value of the day of the week is missing"),
        (",1 * * * *", ",", "a value of the minute is missing"),
        ("0 5- * * *", "5-", "a value of the hour is missing"),
        ("0 -5 * * *", "-5", "a value of the hour is missing"),
        ("0 0 W * *", "W", "a value of the day of the month is missing"),
        ("0 0 * * #2", "#2", "a value of the day of the week is missing"),
        ("/5 * * * *", "/5", "`/5` steps from a single minute"),
        ("*/0 * * * *", "0", "`0` is not a step within 0-59"),
        ("*/ * * * *", "*/", "`*/` is not a step within 0-59"),
        ("5/10 * * * *", "5/10", "`5/10` steps from a single minute"),
        ("0 0 31 2 *", "31", "day 31 never comes in month 2"),
        ("0 0 30,31 feb *", "30,31", "day 30,31 never comes in month feb"),
        ("0 0 31 4,6,9,11 *", "31", "day 31 never comes in month 4,6,9,11"),
        ("0 0 31W 2 *", "31W", "day 31W never comes in month 2"),
        ("0 0 * * 5#6", "5#6", "`5#6` is not one of the five weeks of a month"),
        ("* * * *", "* * * *", "a schedule has 5 fields, and this has 4"),
        ("0 30 2 * * *", "0 30 2 * * *", "a schedule has 5 fields, and this has 6"),
        ("@dayly", "@dayly", "`@dayly` is not the name of a schedule"),
        ("@reboot", "@reboot", "`@reboot` is not the name of a schedule"),
        ("", "", "a schedule has 5 fields, and this has 0 fields"),
        ("é * * * *", "é", "`é` is not a minute"),
    ] {
        let fault = Schedule::parse(text).map(|schedule| panic!("{text} is {schedule:?}")).unwrap_err();
        assert_eq!(text.get(fault.start..fault.end), Some(at), "{text}: {fault:?}");
        assert!(fault.message.starts_with(message), "{text}: {fault:?}");
        assert!(!fault.label.is_empty());
    }
}

#[test]
fn every_time_zone_is_in_the_binary() {
    assert!(zones().len() > 400, "{}", zones().len());
    for name in ["Europe/Berlin", "UTC", "Etc/UTC", "America/New_York", "Asia/Kolkata"] {
        assert!(zones().iter().any(|zone| zone == name), "{name}");
    }
}

#[test]
fn an_image_that_was_chosen_or_made_is_put_in_and_its_tag_wherever_it_is_asked_for() {
    use evenkeel::desired::work::answers::{Answer, Answers, Asker};
    let text = "[services.web]\nimage = \"r\"\nimage_policy = { semver = \"*\" }\nenvironment = { RELEASE = \"v${service.tag}\" }\n\
                [services.docs]\nimage = \"acme/docs\"\n[builds.docs]\ncontext = \".\"\nimage = \"acme/docs\"\n[services.own]\nbuild = \".\"\n";
    let answer =
        |image: &str, tag: &str, local| Answer { image: image.to_owned(), tag: tag.to_owned(), local };
    let service = |name: &str| ServiceId::new("shop", name).unwrap();
    let answers = Answers(std::collections::BTreeMap::from([
        (Asker::Service(service("web")), answer("r:2.1@sha256:00", "2.1", false)),
        (
            Asker::Build(evenkeel::desired::work::WorkId::new("shop", "docs").unwrap()),
            answer("acme/docs:7", "7", true),
        ),
    ]));
    let mut loader = SourcesLoader::default();
    loader.set_answers(std::sync::Arc::new(answers));
    let state = loader.load(&snapshot(text), &host()).state;
    let run = |name: &str| match &state.services[&service(name)] {
        Wanted::Run(revision) => revision.spec.clone(),
        Wanted::Frozen(why) => panic!("{why:#?}"),
    };
    assert_eq!(run("web").container.image, "r:2.1@sha256:00");
    let release = serde_json::to_string(&run("web").container).unwrap();
    assert!(release.contains("v2.1"), "{release}");
    assert_eq!(run("docs").container.image, "acme/docs:7");
    assert_eq!(run("docs").policy.pull, evenkeel::desired::spec::PullPolicy::Never);
    assert!(matches!(state.services[&service("own")], Wanted::Frozen(_)), "nothing was built for it yet");
}
