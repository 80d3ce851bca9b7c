//! Schema fragments that the derive macros cannot say by themselves.
//!
//! Every map and list that a CEL rule looks at is bounded here, because the API server refuses a rule
//! whose worst-case cost has no limit. Embedded Kubernetes types lose their descriptions: each CRD must
//! stay far below the 262,144 bytes that `kubectl apply` can store in one annotation.

use k8s_openapi::jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::NOT_RECONCILED;

/// What Kubernetes accepts as a quantity (`500m`, `10Gi`, `1e3`).
const QUANTITY: &str = r"^[+]?[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?$";

/// A quantity written as a string.
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 32, "pattern": QUANTITY })
}

/// Resource name to amount; a whole number may be written without quotes, as in a Pod.
pub fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "x-kubernetes-int-or-string": true, "maxLength": 32, "pattern": QUANTITY }
    })
}

/// Kafka's configuration: key to value, both strings.
pub fn config(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 128,
        "additionalProperties": { "type": "string", "maxLength": 1024 }
    })
}

/// A topic's configuration: key to value, where null means hands off.
pub fn nullable_config(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "nullable": true, "maxLength": 1024 }
    })
}

/// Labels, annotations or a node selector.
pub fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 1024 }
    })
}

/// An embedded Kubernetes type without its descriptions.
pub fn compact<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut value = generator.subschema_for::<T>().to_value();
    strip_descriptions(&mut value);
    Schema::try_from(value).expect("a schema without descriptions is still a schema")
}

/// A bounded list of an embedded Kubernetes type without its descriptions.
pub fn compact_list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let items = compact::<T>(generator).to_value();
    json_schema!({ "type": "array", "maxItems": 32, "items": items, "x-kubernetes-list-type": "atomic" })
}

/// Conditions: a list keyed by type, as every Kubernetes client expects.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let items = compact::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>(generator).to_value();
    json_schema!({
        "description": "What holds now; each has a reason from a closed set and a message in words.",
        "type": "array",
        "maxItems": 16,
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"]
    })
}

/// The status of an object that no pass has seen yet, so that `kubectl wait` works from the start.
pub fn not_reconciled(types: &[&str]) -> Value {
    let conditions: Vec<Value> = types
        .iter()
        .map(|type_| {
            json!({
                "type": type_,
                "status": "Unknown",
                "reason": NOT_RECONCILED,
                "message": "the operator has not seen this object yet",
                "lastTransitionTime": Timestamp::UNIX_EPOCH.to_string(),
            })
        })
        .collect();
    json!({ "conditions": conditions })
}

fn strip_descriptions(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // A property may itself be called "description": only text is documentation.
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(strip_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_descriptions),
        _ => {}
    }
}
