#!/usr/bin/env bash
# Trains and evaluates every model of every experiment at one scale, at every point if it has a grid, records the results, then makes the tables and figures.
#     experiments/reproduce_all.sh [smoke|cpu|paper]        or: make reproduce-all [SCALE=cpu]
# Run it again to resume: finished runs are not trained twice. A failure does not stop the rest; the end names it.
set -uo pipefail
cd "$(dirname "$0")/.."

scale=${1:-cpu}
icrl=("${PYTHON:-python}" -m icrl)
failed=()

attempt() {  # runs icrl with these arguments and remembers a failure; an interruption (130) ends everything
    local code=0
    echo "icrl $*" >&2
    "${icrl[@]}" "$@" || code=$?
    ((code == 130)) && exit 130
    ((code == 0)) || failed+=("icrl $* (exit code $code)")
    return $code
}

models_of() {
    "${icrl[0]}" -c 'import sys, yaml; print(*yaml.safe_load(open(sys.argv[1]))["models"])' "$1"
}

points_of() {  # the grid of a spec at this scale; a dash stands for no grid
    "${icrl[0]}" -c 'import sys, yaml
spec = yaml.safe_load(open(sys.argv[1]))
scale = (spec.get("scales") or {}).get(sys.argv[2]) or {}
print(*((spec.get("grid") or {}) | (scale.get("grid") or {}) or "-"))' "$1" "$scale"
}

record() {  # copies what training's own evaluation found to where icrl report reads it: experiment, model, point or ""
    local runs=results/runs/$1/$scale/$2${3:+/$3} records=results/records/$1/$scale name=$2${3:+-$3} run
    run=$(ls -td "$runs"/seed*/ | head -n 1)
    mkdir -p "$records" && cp "$run/evaluation.json" "$records/$name.json" && cp "$run/metrics.jsonl" "$records/$name.metrics.jsonl" ||
        failed+=("recording $runs")
}

for spec in experiments/*.yaml; do
    [[ $spec == experiments/benchmark.yaml ]] && continue  # is timed, below
    models=$(models_of "$spec") || failed+=("$spec (names no models)")
    for point in $(points_of "$spec"); do
        point=${point#-}
        for model in $models; do
            attempt train "$spec" --model "$model" --scale "$scale" ${point:+"--point=$point"} &&
                record "$(basename "$spec" .yaml)" "$model" "$point"
        done
    done
done
[[ -e experiments/benchmark.yaml && $scale != smoke ]] && attempt benchmark --seq-len sweep --throughput --scan
attempt report

if ((${#failed[@]})); then
    printf 'failed:\n' >&2
    printf '  %s\n' "${failed[@]}" >&2
    exit 1
fi
