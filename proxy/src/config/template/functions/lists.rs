//! Functions on lists and dictionaries.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{Result, Value};

use super::{Budget, Function, MANY, exec, integer, list, list_of, str_of, string, text_of};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "append",
        arguments: 2..=2,
        call: |a, b| chained([list(&a[0])?, &a[1..]], b),
    },
    Function {
        name: "compact",
        arguments: 1..=1,
        call: |a, b| kept(list(&a[0])?, b, Value::is_truthy),
    },
    Function {
        name: "concat",
        arguments: 0..=MANY,
        call: concat,
    },
    Function {
        name: "dict",
        arguments: 0..=MANY,
        call: dict,
    },
    Function {
        name: "first",
        arguments: 1..=1,
        call: |a, _| Ok(list(&a[0])?.first().cloned().unwrap_or(Value::Nil)),
    },
    Function {
        name: "get",
        arguments: 2..=2,
        call: |a, _| {
            Ok(map(&a[0])?
                .get(str_of(&a[1])?)
                .cloned()
                .unwrap_or_else(empty))
        },
    },
    Function {
        name: "has",
        arguments: 2..=2,
        call: |a, _| Ok(Value::Bool(list(&a[1])?.contains(&a[0]))),
    },
    Function {
        name: "hasKey",
        arguments: 2..=2,
        call: |a, _| Ok(Value::Bool(map(&a[0])?.contains_key(str_of(&a[1])?))),
    },
    Function {
        name: "initial",
        arguments: 1..=1,
        call: |a, b| {
            list_of(
                list(&a[0])?
                    .split_last()
                    .map_or_else(Vec::new, |(_, rest)| rest.to_vec()),
                b,
            )
        },
    },
    Function {
        name: "keys",
        arguments: 1..=1,
        call: |a, b| {
            list_of(
                map(&a[0])?
                    .keys()
                    .map(|key| Value::String(key.clone()))
                    .collect(),
                b,
            )
        },
    },
    Function {
        name: "last",
        arguments: 1..=1,
        call: |a, _| Ok(list(&a[0])?.last().cloned().unwrap_or(Value::Nil)),
    },
    Function {
        name: "list",
        arguments: 0..=MANY,
        call: |a, b| list_of(a.to_vec(), b),
    },
    Function {
        name: "merge",
        arguments: 1..=MANY,
        call: merge,
    },
    Function {
        name: "prepend",
        arguments: 2..=2,
        call: |a, b| chained([&a[1..], list(&a[0])?], b),
    },
    Function {
        name: "rest",
        arguments: 1..=1,
        call: |a, b| list_of(list(&a[0])?.iter().skip(1).cloned().collect(), b),
    },
    Function {
        name: "reverse",
        arguments: 1..=1,
        call: |a, b| list_of(list(&a[0])?.iter().rev().cloned().collect(), b),
    },
    Function {
        name: "slice",
        arguments: 1..=3,
        call: slice,
    },
    Function {
        name: "sortAlpha",
        arguments: 1..=1,
        call: sort_alpha,
    },
    Function {
        name: "toJson",
        arguments: 1..=1,
        call: |a, b| text_of(json(&a[0], b)?.to_string(), b),
    },
    Function {
        name: "toStrings",
        arguments: 1..=1,
        call: |a, b| {
            list_of(
                texts(&a[0], b)?
                    .into_iter()
                    .map(|text| Value::String(text.into()))
                    .collect(),
                b,
            )
        },
    },
    Function {
        name: "uniq",
        arguments: 1..=1,
        call: uniq,
    },
    Function {
        name: "until",
        arguments: 1..=1,
        call: |a, b| {
            steps(
                0,
                integer(&a[0]),
                if integer(&a[0]) < 0 { -1 } else { 1 },
                b,
            )
        },
    },
    Function {
        name: "untilStep",
        arguments: 3..=3,
        call: |a, b| steps(integer(&a[0]), integer(&a[1]), integer(&a[2]), b),
    },
    Function {
        name: "values",
        arguments: 1..=1,
        call: |a, b| list_of(map(&a[0])?.values().cloned().collect(), b),
    },
    Function {
        name: "without",
        arguments: 1..=MANY,
        call: |a, b| kept(list(&a[0])?, b, |item| !a[1..].contains(item)),
    },
];

type Map = BTreeMap<Arc<str>, Value>;

fn map(value: &Value) -> Result<&Map> {
    match value {
        Value::Map(map) => Ok(map),
        other => Err(exec(format!("expected dict; found {}", other.type_name()))),
    }
}

fn empty() -> Value {
    Value::String("".into())
}

fn chained<const N: usize>(parts: [&[Value]; N], budget: &Budget) -> Result<Value> {
    budget.take_items(parts.iter().map(|part| part.len()).sum())?;
    list_of(parts.concat(), budget)
}

fn concat(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let mut all = Vec::new();
    for value in arguments {
        budget.take_items(list(value)?.len())?;
        all.extend_from_slice(list(value)?);
    }
    list_of(all, budget)
}

fn kept(items: &[Value], budget: &Budget, keep: impl Fn(&Value) -> bool) -> Result<Value> {
    list_of(
        items.iter().filter(|item| keep(item)).cloned().collect(),
        budget,
    )
}

fn dict(arguments: &[Value], budget: &Budget) -> Result<Value> {
    budget.take_items(arguments.len())?;
    let mut map = Map::new();
    for pair in arguments.chunks(2) {
        let key = string(&pair[0], budget)?;
        map.insert(key.into(), pair.get(1).cloned().unwrap_or_else(empty));
    }
    Ok(Value::Map(Arc::new(map)))
}

/// The first dictionary that has a key wins.
fn merge(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let mut merged = Map::new();
    for value in arguments.iter().rev() {
        budget.take_items(map(value)?.len())?;
        merged.extend(
            map(value)?
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    Ok(Value::Map(Arc::new(merged)))
}

/// Go's `slice`, and sprig's, which is the same for lists.
fn slice(arguments: &[Value], _: &Budget) -> Result<Value> {
    let bound = |position: usize| arguments.get(position).map(integer);
    arguments[0].slice(bound(1), bound(2))
}

fn texts(value: &Value, budget: &Budget) -> Result<Vec<String>> {
    list(value)?
        .iter()
        .map(|item| string(item, budget))
        .collect()
}

fn sort_alpha(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let mut texts = texts(&arguments[0], budget)?;
    texts.sort();
    list_of(
        texts
            .into_iter()
            .map(|text| Value::String(text.into()))
            .collect(),
        budget,
    )
}

fn uniq(arguments: &[Value], budget: &Budget) -> Result<Value> {
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for item in list(&arguments[0])? {
        if seen.insert((item.type_name(), string(item, budget)?)) {
            kept.push(item.clone());
        }
    }
    list_of(kept, budget)
}

fn steps(start: i64, stop: i64, step: i64, budget: &Budget) -> Result<Value> {
    if step == 0 || (stop < start) != (step < 0) {
        return list_of(Vec::new(), budget);
    }
    let length = start.abs_diff(stop).div_ceil(step.unsigned_abs());
    budget.take_items(usize::try_from(length).unwrap_or(usize::MAX))?;
    let items = (0..length).map_while(|index| {
        let offset = step.checked_mul(i64::try_from(index).ok()?)?;
        start.checked_add(offset).map(Value::Int)
    });
    Ok(Value::List(items.collect::<Vec<_>>().into()))
}

fn json(value: &Value, budget: &Budget) -> Result<serde_json::Value> {
    budget.take(size_of::<Value>())?;
    Ok(match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => {
            budget.take(text.len())?;
            text.to_string().into()
        }
        Value::List(items) => items
            .iter()
            .map(|item| json(item, budget))
            .collect::<Result<Vec<_>>>()?
            .into(),
        Value::Map(map) => {
            let entry =
                |(key, value): (&Arc<str>, &Value)| Ok((key.to_string(), json(value, budget)?));
            serde_json::Value::Object(map.iter().map(entry).collect::<Result<_>>()?)
        }
        _ => return Err(exec("a function has no JSON")),
    })
}
