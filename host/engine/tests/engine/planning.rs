//! What is refused before anything is moved, what `check` finds, what `discover` answers.

use std::sync::Arc;

use rapidbyte_core::ports::{Observer, RunEvent};
use rapidbyte_core::{SyncMode, WriteMode};
use rapidbyte_engine::{
    Cancellation, CheckReport, CheckStatus, CheckSubject, Place, PlanError, PlanOptions, Ports, Problem,
    RunPlan, Selection, StreamSpec, TransformSpec, check, discover, plan,
};

use crate::support::connectors::Mischief;
use crate::support::strike::{Strike, Striker};
use crate::support::world::rows;
use crate::support::{Stage, stream};

struct Silent;

impl Observer for Silent {
    fn observe(&self, _: RunEvent<'_>) {}
}

fn ports(stage: &Stage) -> Ports {
    crate::support::ports(Arc::new(stage.store()), Arc::new(Silent), Cancellation::new())
}

fn stage(streams: Vec<StreamSpec>) -> Stage {
    let stage = Stage::new(streams);
    for name in ["orders", "customers"] {
        stage.world.set_source(name, rows(3));
    }
    stage
}

fn planned(stage: &Stage, only: &[&str]) -> Result<RunPlan, Box<PlanError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let ports = ports(stage);
        let striker = Arc::new(Striker::new(Strike::Never, 0, ports.cancellation.clone()));
        let only = only.iter().map(|name| (*name).to_owned()).collect();
        let options = PlanOptions { only, ..PlanOptions::default() };
        plan(&stage.spec, &stage.connectors(&striker), &ports, &options).await.map_err(Box::new)
    })
}

fn checked(stage: &Stage) -> CheckReport {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let ports = ports(stage);
        let striker = Arc::new(Striker::new(Strike::Never, 0, ports.cancellation.clone()));
        check(&stage.spec, &stage.connectors(&striker), &ports, &PlanOptions::default()).await
    })
}

fn problems(stage: &Stage) -> Vec<Problem> {
    match planned(stage, &[]).map_err(|error| *error) {
        Err(PlanError::Refused(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

fn problem(spec: StreamSpec) -> Problem {
    let mut found = problems(&stage(vec![spec]));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn full(mode: WriteMode) -> StreamSpec {
    stream("orders", SyncMode::FullRefresh, mode)
}

#[test]
fn says_what_is_wrong_and_what_was_meant() {
    let found = problem(StreamSpec { name: "order".into(), ..full(WriteMode::Append) });
    assert_eq!((found.code, found.place), ("unknown_stream", Place::Stream));
    assert_eq!(found.message, "the source has no stream `order`");
    assert_eq!(found.hint.as_deref(), Some("did you mean `orders`?"));

    let found = problem(StreamSpec { columns: vec!["id".into(), "valeu".into()], ..full(WriteMode::Append) });
    assert_eq!((found.code, found.place), ("unknown_column", Place::Column("valeu".into())));
    assert_eq!(found.hint.as_deref(), Some("did you mean `value`?"));

    let mut spec = stream("orders", SyncMode::Incremental, WriteMode::Append);
    spec.cursor.as_mut().unwrap().field = "updated_at".into();
    let found = problem(spec.clone());
    assert_eq!((found.code, found.place), ("unknown_column", Place::CursorField));
    assert_eq!(found.hint.as_deref(), Some("there are the columns `id`, `seq`, `value`"));
    spec.cursor.as_mut().unwrap().field = "value".into();
    let found = problem(spec.clone());
    assert_eq!(
        (found.code, found.hint.as_deref()),
        ("cursor_field_unusable", Some("it can be by `seq`, `id`"))
    );
    spec.cursor = None;
    assert_eq!(problem(spec).code, "cursor_missing");

    let found = problem(stream("orders", SyncMode::Incremental, WriteMode::Replace));
    assert_eq!((found.code, found.place), ("incremental_replace", Place::WriteMode));
    assert_eq!(problem(stream("orders", SyncMode::Cdc, WriteMode::Append)).code, "cdc_unsupported");
    let twice = vec!["id".into(), "id".into()];
    assert_eq!(problem(StreamSpec { columns: twice, ..full(WriteMode::Append) }).code, "repeated_column");

    let mut spec = full(WriteMode::Upsert);
    spec.write.primary_key = vec!["idd".into()];
    let found = problem(spec.clone());
    assert_eq!((found.code, found.place), ("unknown_column", Place::PrimaryKey(Some("idd".into()))));
    // A key that exists and does not arrive is no key.
    spec.write.primary_key = vec!["id".into()];
    spec.columns = vec!["seq".into()];
    assert_eq!(problem(spec).message, "no key column `id` arrives at the destination for stream `orders`");

    let mut spec = full(WriteMode::Merge);
    spec.write.update_columns = vec!["id".into()];
    assert_eq!(problem(spec).code, "update_of_key");
}

#[test]
fn says_everything_at_once() {
    let streams = vec![
        StreamSpec { name: "nothing".into(), ..full(WriteMode::Append) },
        stream("orders", SyncMode::Incremental, WriteMode::Replace),
    ];
    let codes: Vec<_> = problems(&stage(streams)).iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["unknown_stream", "incremental_replace"]);
}

#[test]
fn refuses_what_destination_or_policies_cannot_do() {
    let mut asked = stage(vec![full(WriteMode::Replace)]);
    asked.behaviour.mischief = Mischief::DestinationCannotReplace;
    let found = problems(&asked);
    assert_eq!((found[0].code, found[0].place.clone()), ("write_mode_unsupported", Place::WriteMode));
    assert_eq!(found[0].hint.as_deref(), Some("it can by `append`, `upsert`, `merge`"));

    let keyed =
        StreamSpec { partition_key: Some("idd".into()), partitions: Some(4), ..full(WriteMode::Append) };
    let codes: Vec<_> = problems(&stage(vec![keyed])).iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["unknown_column", "partitions_unsupported"]);

    let mut asked = stage(vec![full(WriteMode::Append)]);
    asked.spec.transforms = vec![TransformSpec { stream: Some("oders".into()), ..TransformSpec::default() }];
    assert_eq!(problems(&asked)[0].hint.as_deref(), Some("did you mean `orders`?"));

    for (mischief, code) in [
        (Mischief::DestinationRefusesConfig, "unknown_field"),
        (Mischief::DestinationIsASource, "role_mismatch"),
        (Mischief::DestinationSpeaksVersion3, "protocol_mismatch"),
    ] {
        let mut asked = stage(vec![full(WriteMode::Append)]);
        asked.behaviour.mischief = mischief;
        match planned(&asked, &[]).map_err(|error| *error) {
            Err(PlanError::Connector(fault)) => assert_eq!(fault.error.code, code),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn takes_the_streams_own_key_and_only_what_was_picked() {
    let mut upsert = full(WriteMode::Upsert);
    upsert.write.primary_key = Vec::new();
    let mut asked = stage(Vec::new());
    asked.spec.streams = Selection::All(upsert.write);
    let made = planned(&asked, &[]).unwrap();
    assert_eq!(
        made.tasks.iter().map(|task| task.key.stream.as_str()).collect::<Vec<_>>(),
        ["customers", "orders"]
    );
    assert_eq!(made.tasks[0].write.primary_key, ["id"]);

    let made = planned(&asked, &["orders"]).unwrap();
    assert_eq!(made.tasks.len(), 1);
    match planned(&asked, &["ordrs"]).map_err(|error| *error) {
        Err(PlanError::Refused(found)) => {
            assert_eq!(found[0].hint.as_deref(), Some("did you mean `orders`?"))
        }
        other => panic!("{other:?}"),
    }
    asked.world.lock().sources.clear();
    assert_eq!(problems(&asked)[0].code, "no_streams");
}

#[test]
fn a_plan_can_be_sent_and_read_back() {
    let mut spec = stream("orders", SyncMode::Incremental, WriteMode::Merge);
    spec.columns = vec!["value".into(), "id".into(), "seq".into()];
    let made = planned(&stage(vec![spec]).with_transforms(2), &[]).unwrap();
    let json = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<RunPlan>(&json).unwrap(), made);
    let schema = rapidbyte_core::frame::decode_schema(made.tasks[0].final_schema()).unwrap();
    assert_eq!(
        schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(),
        ["value", "id", "seq"]
    );
}

#[test]
fn a_check_touches_nothing() {
    let found = checked(&stage(vec![full(WriteMode::Replace)]).with_transforms(1));
    assert_eq!(found.status(), CheckStatus::Ok, "{found:?}");
    let lines: Vec<_> = found.items.iter().map(|item| (&item.subject, item.message.as_str())).collect();
    assert_eq!(lines[0].1, "reachable, 2 streams available");
    assert!(matches!(lines[1].0, CheckSubject::Transform(_)));
    assert_eq!(lines[3], (&CheckSubject::Stream("orders".into()), "full_refresh → replace, 3 columns"));
    assert_eq!(lines[4].1, "no saved positions");
    assert!(found.last_run.is_none() && found.plan.is_some());

    let asked = stage(vec![full(WriteMode::Replace)]);
    checked(&asked);
    assert_eq!(asked.world.table("orders").commits, 0);
    assert!(!asked.folder.path().join("holders").exists(), "nothing is claimed");
}

#[test]
fn a_check_goes_on_behind_what_fails() {
    let mut asked = stage(vec![full(WriteMode::Replace)]);
    asked.behaviour.mischief = Mischief::DestinationRefusesConfig;
    let found = checked(&asked);
    let statuses: Vec<_> = found.items.iter().map(|item| item.status).collect();
    assert_eq!(statuses, [CheckStatus::Ok, CheckStatus::Fail, CheckStatus::Ok], "{found:?}");
    assert_eq!(found.items[1].error.as_ref().unwrap().code, "unknown_field");

    let found = checked(&stage(vec![StreamSpec { name: "order".into(), ..full(WriteMode::Append) }]));
    let stream =
        found.items.iter().find(|item| item.subject == CheckSubject::Stream("order".into())).unwrap();
    assert_eq!(stream.problem.as_ref().unwrap().code, "unknown_stream");

    let asked = stage(vec![stream_at_least_once()]);
    let asked = {
        let mut asked = asked;
        asked.behaviour.transactional = false;
        asked
    };
    assert_eq!(checked(&asked).status(), CheckStatus::Warn);
}

fn stream_at_least_once() -> StreamSpec {
    stream("orders", SyncMode::Incremental, WriteMode::Append)
}

#[test]
fn discovery_answers_the_catalog() {
    let asked = stage(Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let catalog = runtime.block_on(async {
        let ports = ports(&asked);
        let striker = Arc::new(Striker::new(Strike::Never, 0, ports.cancellation.clone()));
        let connectors = asked.connectors(&striker);
        discover("p", &connectors.source, &asked.spec.resources, &ports).await.unwrap()
    });
    assert_eq!(
        catalog.streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(),
        ["customers", "orders"]
    );
}
