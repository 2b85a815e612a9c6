//! Functions on numbers and truth values, and those that choose.

use std::cmp::Ordering;

use gotmpl::{Result, Template, Value};

use super::{Function, MANY, exec, integer, str_of, text_of};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "add",
        arguments: 0..=MANY,
        call: |a, _| folded(a, 0, i64::checked_add),
    },
    Function {
        name: "add1",
        arguments: 1..=1,
        call: |a, _| folded(a, 1, i64::checked_add),
    },
    Function {
        name: "atoi",
        arguments: 1..=1,
        call: |a, _| Ok(Value::Int(str_of(&a[0])?.parse().unwrap_or_default())),
    },
    Function {
        name: "coalesce",
        arguments: 0..=MANY,
        call: |a, _| {
            Ok(a.iter()
                .find(|value| value.is_truthy())
                .cloned()
                .unwrap_or(Value::Nil))
        },
    },
    Function {
        name: "default",
        arguments: 1..=2,
        call: |a, _| {
            Ok(a.get(1)
                .filter(|value| value.is_truthy())
                .unwrap_or(&a[0])
                .clone())
        },
    },
    Function {
        name: "div",
        arguments: 2..=2,
        call: |a, _| number(integer(&a[0]).checked_div(integer(&a[1]))),
    },
    Function {
        name: "empty",
        arguments: 1..=1,
        call: |a, _| Ok(Value::Bool(!a[0].is_truthy())),
    },
    Function {
        name: "eq",
        arguments: 2..=MANY,
        call: |a, _| compared("eq", a),
    },
    Function {
        name: "fail",
        arguments: 1..=1,
        call: |a, _| Err(exec(str_of(&a[0])?)),
    },
    Function {
        name: "ge",
        arguments: 2..=2,
        call: |a, _| compared("ge", a),
    },
    Function {
        name: "gt",
        arguments: 2..=2,
        call: |a, _| compared("gt", a),
    },
    Function {
        name: "int",
        arguments: 1..=1,
        call: |a, _| Ok(Value::Int(integer(&a[0]))),
    },
    Function {
        name: "int64",
        arguments: 1..=1,
        call: |a, _| Ok(Value::Int(integer(&a[0]))),
    },
    Function {
        name: "kindOf",
        arguments: 1..=1,
        call: |a, b| text_of(a[0].type_name(), b),
    },
    Function {
        name: "le",
        arguments: 2..=2,
        call: |a, _| compared("le", a),
    },
    Function {
        name: "lt",
        arguments: 2..=2,
        call: |a, _| compared("lt", a),
    },
    Function {
        name: "max",
        arguments: 1..=MANY,
        call: |a, _| Ok(chosen(a, Ordering::Greater)),
    },
    Function {
        name: "min",
        arguments: 1..=MANY,
        call: |a, _| Ok(chosen(a, Ordering::Less)),
    },
    Function {
        name: "mod",
        arguments: 2..=2,
        call: |a, _| number(integer(&a[0]).checked_rem(integer(&a[1]))),
    },
    Function {
        name: "mul",
        arguments: 1..=MANY,
        call: |a, _| folded(a, 1, i64::checked_mul),
    },
    Function {
        name: "ne",
        arguments: 2..=2,
        call: |a, _| compared("ne", a),
    },
    Function {
        name: "sub",
        arguments: 2..=2,
        call: |a, _| number(integer(&a[0]).checked_sub(integer(&a[1]))),
    },
    Function {
        name: "ternary",
        arguments: 3..=3,
        call: |a, _| Ok(a[usize::from(!a[2].is_truthy())].clone()),
    },
];

fn number(number: Option<i64>) -> Result<Value> {
    number
        .map(Value::Int)
        .ok_or_else(|| exec("a number out of range, or a division by zero"))
}

fn folded(values: &[Value], start: i64, fold: fn(i64, i64) -> Option<i64>) -> Result<Value> {
    number(values.iter().map(integer).try_fold(start, fold))
}

fn chosen(values: &[Value], wanted: Ordering) -> Value {
    let best = values.iter().map(integer).reduce(|best, next| {
        if next.cmp(&best) == wanted {
            next
        } else {
            best
        }
    });
    Value::Int(best.unwrap_or_default())
}

/// Go's comparisons, by the crate that knows them; here so that they keep to the budget.
fn compared(name: &str, values: &[Value]) -> Result<Value> {
    let operands: Vec<String> = (0..values.len())
        .map(|index| format!("(index . {index})"))
        .collect();
    let template = Template::new(name).parse(&format!("{{{{{name} {}}}}}", operands.join(" ")))?;
    let data = Value::List(values.to_vec().into());
    Ok(Value::Bool(template.execute_to_string(&data)? == "true"))
}
