# How kwok plays nodes and pods, printed as YAML from the stages in its module. usage: stages.sh KWOK_MODULE
set -euo pipefail
stages=$1/kustomize/stage
# The node stages that need a label or annotation to happen are included: a test asks for them by it.
for file in "$stages"/node/{fast,heartbeat-with-lease,chaos}/*.yaml; do
    case $file in *kustomization.yaml) continue ;; esac
    echo ---
    cat "$file"
done
# Pods become ready by the general stages, a tenth of a second each unless an annotation says more. Their
# random delay goes: kwok takes the jitter for the delay when the delay is longer than it.
for file in "$stages"/pod/{general,chaos}/*.yaml; do
    case $file in *kustomization.yaml) continue ;; esac
    echo ---
    sed -e '/jitterDurationMilliseconds:/d' -e 's/durationMilliseconds: 1000/durationMilliseconds: 100/' "$file"
done
