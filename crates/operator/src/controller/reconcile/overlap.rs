//! Rounds beside another operator.

use serde_json::json;

use super::world::{DEPLOYMENT, EVENT, World, demo, idle};
use super::*;

#[tokio::test]
async fn what_the_operator_of_its_namespace_has_is_left_alone_and_said_once() {
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    let lease = |holder: &str, version: &str| {
        serde_json::from_value(json!({
            "metadata": {"namespace": "home", "name": "any", "resourceVersion": version},
            "spec": {"holderIdentity": holder},
        }))
        .unwrap()
    };
    world.others.saw("system", vec![], vec![lease("one", "1")]);
    world.change_deployment(|deployment| deployment["spec"]["replicas"] = json!(7));
    world.fake.writes();
    for _ in 0..3 {
        let action = world.round().await.unwrap();
        assert_eq!(action, Action::requeue(LEFT_AGAIN));
    }
    assert_eq!(world.fake.writes(), [EVENT], "nothing but that it is left");
    // The lease is gone, and with it who had it.
    world.others.saw("system", vec![], vec![]);
    world.round().await.unwrap();
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn what_another_operator_wrote_is_looked_at_once_that_one_knows() {
    let mut world = World::new(&demo(), idle());
    world.object.status = Some(WyomingSttStatus {
        operator: Some("system/wyoming-stt-operator-cluster".to_owned()),
        ..WyomingSttStatus::default()
    });
    let action = world.round().await.unwrap();
    assert_ne!(action, Action::await_change());
    assert_eq!(world.fake.writes(), [""; 0], "not yet");
}
