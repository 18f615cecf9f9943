//! Random JSON and mutated texts for the property tests of all codecs.

use proptest::prelude::*;
use serde_json::Value;

/// Any JSON, three levels deep.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop_oneof![Just("-1"), Just("1e999"), Just("NaN"), Just("18446744073709551616")].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z_]{1,12}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A text with some bytes replaced, removed or doubled; what is no UTF-8 afterwards becomes replacement characters.
pub(crate) fn mutated(seed: &'static [&'static str]) -> impl Strategy<Value = String> {
    (
        proptest::sample::select(seed),
        proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..3, any::<u8>()), 0..6),
    )
        .prop_map(|(text, changes)| {
            let mut bytes = text.as_bytes().to_vec();
            for (index, kind, byte) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, byte),
                }
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
}

/// Every value of an object replaced by any JSON, one at a time, at any depth up to three: the shape a codec is most likely to trust.
pub(crate) fn bent(seed: &'static [&'static str]) -> impl Strategy<Value = String> {
    (proptest::sample::select(seed), any::<proptest::sample::Index>(), json()).prop_map(|(text, index, value)| {
        let mut whole: Value = serde_json::from_str(text).expect("a seed is JSON");
        let mut paths = Vec::new();
        collect(&whole, String::new(), &mut paths);
        if !paths.is_empty()
            && let Some(place) = whole.pointer_mut(&paths[index.index(paths.len())])
        {
            *place = value;
        }
        whole.to_string()
    })
}

fn collect(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                paths.push(path.clone());
                collect(inner, path, paths);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                let path = format!("{path}/{index}");
                paths.push(path.clone());
                collect(inner, path, paths);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
