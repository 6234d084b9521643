"""The public interface of a crate, an item a line, from the JSON that rustdoc writes: `api.py FILE`.

Left out: what the compiler implements by itself, and what is implemented for all types at once.
"""

import json
import sys

crate = json.load(open(sys.argv[1], encoding="utf-8"))
index = crate["index"]
lines = set()


def kind_of(item):
    return next(iter(item["inner"].items()))


def arguments(args):
    """What stands in angle brackets, or the arguments of a function's trait."""
    if not args:
        return ""
    kind, inner = next(iter(args.items()))
    if kind == "parenthesized":
        inputs = ", ".join(map(typed, inner["inputs"]))
        return f"({inputs})" + (f" -> {typed(inner['output'])}" if inner["output"] else "")
    parts = []
    for arg in inner["args"]:
        what, value = next(iter(arg.items())) if isinstance(arg, dict) else (arg, "_")
        parts.append({"lifetime": str, "type": typed, "const": lambda c: c["expr"]}.get(what, str)(value))
    for bound in inner.get("constraints", inner.get("bindings", [])):
        how, value = next(iter(bound["binding"].items()))
        name = bound["name"] + arguments(bound["args"])
        parts.append(f"{name} = {term(value)}" if how == "equality" else f"{name}: {bounds(value)}")
    return f"<{', '.join(parts)}>" if parts else ""


def term(value):
    what, inner = next(iter(value.items()))
    return typed(inner) if what == "type" else inner["expr"]


def path(p):
    return p.get("path", p.get("name")).rsplit("::", 1)[-1] + arguments(p["args"])


def bounds(all):
    said = []
    for bound in all:
        what, inner = next(iter(bound.items()))
        if what == "trait_bound":
            sign = {"maybe": "?", "maybe_const": "~const "}.get(inner["modifier"], "")
            said.append(sign + binder(inner["generic_params"]) + path(inner["trait"]))
        elif what == "outlives":
            said.append(inner)
        else:
            said.append(f"use<{', '.join(next(iter(x.values())) for x in inner)}>")
    return " + ".join(said)


def binder(params):
    return f"for<{', '.join(p['name'] for p in params)}> " if params else ""


def typed(t):
    kind, v = next(iter(t.items())) if isinstance(t, dict) else (t, None)
    match kind:
        case "primitive" | "generic":
            return v
        case "resolved_path":
            return path(v)
        case "tuple":
            return f"({', '.join(map(typed, v))}{',' if len(v) == 1 else ''})"
        case "slice":
            return f"[{typed(v)}]"
        case "array":
            return f"[{typed(v['type'])}; {v['len']}]"
        case "borrowed_ref":
            life = f"{v['lifetime']} " if v["lifetime"] else ""
            return f"&{life}{'mut ' if v['is_mutable'] else ''}{typed(v['type'])}"
        case "raw_pointer":
            return f"*{'mut' if v['is_mutable'] else 'const'} {typed(v['type'])}"
        case "qualified_path":
            of = typed(v["self_type"])
            trait = v["trait"]
            name = v["name"] + arguments(v["args"])
            return f"<{of} as {path(trait)}>::{name}" if trait and trait.get("path") else f"{of}::{name}"
        case "impl_trait":
            return f"impl {bounds(v)}"
        case "dyn_trait":
            traits = [binder(x["generic_params"]) + path(x["trait"]) for x in v["traits"]]
            return "dyn " + " + ".join(traits + ([v["lifetime"]] if v["lifetime"] else []))
        case "function_pointer":
            sig = v["sig"]
            return binder(v["generic_params"]) + "fn" + signature(sig)
        case "infer":
            return "_"
    raise SystemExit(f"a type of the kind {kind} is not known here")


def signature(sig):
    inputs = ", ".join(f"{name}: {typed(t)}" for name, t in sig["inputs"])
    return f"({inputs})" + (f" -> {typed(sig['output'])}" if sig["output"] else "")


def generics(g):
    """Parameters, and the rest of a where clause."""
    params = []
    for p in g["params"]:
        what, v = next(iter(p["kind"].items()))
        if what == "lifetime":
            outlives = v["outlives"]
            params.append(p["name"] + (f": {' + '.join(outlives)}" if outlives else ""))
        elif what == "const":
            params.append(f"const {p['name']}: {typed(v['type'])}")
        elif not v["is_synthetic"]:
            params.append(p["name"] + (f": {bounds(v['bounds'])}" if v["bounds"] else "")
                          + (f" = {typed(v['default'])}" if v["default"] else ""))
    where = []
    for w in g["where_predicates"]:
        what, v = next(iter(w.items()))
        if what == "bound_predicate":
            where.append(f"{binder(v['generic_params'])}{typed(v['type'])}: {bounds(v['bounds'])}")
        elif what == "lifetime_predicate":
            where.append(f"{v['lifetime']}: {' + '.join(v['outlives'])}")
        else:
            where.append(f"{typed(v['lhs'])} == {term(v['rhs'])}")
    return (f"<{', '.join(params)}>" if params else ""), (f" where {', '.join(where)}" if where else "")


def function(name, f):
    params, where = generics(f["generics"])
    header = f["header"]
    words = "".join(word for key, word in [("is_const", "const "), ("is_async", "async "), ("is_unsafe", "unsafe ")]
                    if header[key])
    return f"{words}fn {name}{params}{signature(f['sig'])}{where}"


def members(name, ids):
    for i in ids:
        if str(i) in index:
            walk(index[str(i)], name)


def implementations(name, ids):
    for i in ids:
        if str(i) not in index:
            continue
        imp = index[str(i)]["inner"]["impl"]
        if imp.get("is_synthetic") or imp.get("blanket_impl"):
            continue
        params, where = generics(imp["generics"])
        if imp["trait"]:
            lines.add(f"impl{params} {path(imp['trait'])} for {typed(imp['for'])}{where}")
            for member in imp["items"]:
                item = index.get(str(member))
                if item and kind_of(item)[0] == "assoc_type" and kind_of(item)[1]["type"]:
                    lines.add(f"impl{params} {path(imp['trait'])} for {typed(imp['for'])}: "
                              f"type {item['name']} = {typed(kind_of(item)[1]['type'])}")
        else:
            own = typed(imp["for"]).removeprefix(name.rsplit("::", 1)[-1])
            members(name + own + (where and f" [{where.strip()}]"), imp["items"])


def walk(item, within):
    kind, v = kind_of(item)
    if kind == "use":
        target = index.get(str(v["id"]))
        if v["is_glob"]:
            if target:
                members(within, kind_of(target)[1]["items"])
        elif target:
            walk({**target, "name": v["name"]}, within)
        else:
            lines.add(f"use {within}::{v['name']} = {v['source']}")
        return
    name = f"{within}::{item['name']}" if within else item["name"]
    match kind:
        case "module":
            lines.add(f"mod {name}")
            members(name, v["items"])
        case "function":
            lines.add(function(name, v))
        case "struct" | "union":
            params, where = generics(v["generics"])
            how, fields = next(iter(v["kind"].items())) if isinstance(v["kind"], dict) else ("unit", None)
            hidden = " { .. }" if how == "plain" and fields["has_stripped_fields"] else ""
            lines.add(f"{kind} {name}{params}{where}{hidden}")
            if how == "plain":
                members(name, fields["fields"])
            elif how == "tuple":
                members(name, [f for f in fields if f is not None])
            implementations(name, v["impls"])
        case "struct_field":
            lines.add(f"field {name}: {typed(v)}")
        case "enum":
            params, where = generics(v["generics"])
            open_ = " (non-exhaustive)" if any("non_exhaustive" in str(a) for a in item["attrs"]) else ""
            lines.add(f"enum {name}{params}{where}{open_}")
            members(name, v["variants"])
            implementations(name, v["impls"])
        case "variant":
            how, fields = next(iter(v["kind"].items())) if isinstance(v["kind"], dict) else ("plain", None)
            lines.add(f"variant {name}")
            if fields:
                members(name, fields["fields"] if isinstance(fields, dict) else [f for f in fields if f is not None])
        case "trait":
            params, where = generics(v["generics"])
            above = f": {bounds(v['bounds'])}" if v["bounds"] else ""
            lines.add(f"trait {name}{params}{above}{where}")
            for i in v["items"]:
                member = index[str(i)]
                given = kind_of(member)[1].get("has_body") or kind_of(member)[1].get("value")
                before = set(lines)
                walk(member, name)
                for line in lines - before if given else ():
                    lines.remove(line)
                    lines.add(f"{line} (provided)")
        case "assoc_const" | "constant":
            lines.add(f"const {name}: {typed(v['type'])}")
        case "static":
            lines.add(f"static {name}: {typed(v['type'])}")
        case "assoc_type":
            params, where = generics(v["generics"])
            lines.add(f"type {name}{params}" + (f": {bounds(v['bounds'])}" if v["bounds"] else "") + where)
        case "type_alias":
            params, where = generics(v["generics"])
            lines.add(f"type {name}{params} = {typed(v['type'])}{where}")
        case "trait_alias" | "primitive" | "extern_crate":
            pass
        case "macro" | "proc_macro":
            lines.add(f"macro {name}")
        case _:
            raise SystemExit(f"an item of the kind {kind} is not known here")


walk(index[str(crate["root"])], "")
print("\n".join(sorted(lines)))
