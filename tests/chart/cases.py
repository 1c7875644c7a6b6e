"""Values that are rendered to see what holds for all of them: every switch on and off, and some together."""

from rendering import NAMESPACE, Values

DIGEST = "sha256:" + "0a" * 32

INSTANCES: Values = {
    "speech": {"model": {"name": "base"}},
    "office": {"model": {"name": "small"}, "service": {"type": "LoadBalancer", "port": 10400}},
    "garage": {"model": {"name": "demo"}, "service": {"type": "NodePort", "nodePort": 30300}},
    "desk": {"model": {"name": "demo"}, "http": {"port": 80, "keysSecretRef": {"name": "api-keys", "key": "keys"}}},
}

CASES: dict[str, Values] = {
    "defaults": {},
    "images-by-digest": {"image": {"digest": DIGEST}, "servers": {"image": {"digest": DIGEST}}},
    "images-from-a-registry": {"imageRegistry": "registry.example/speech", "imagePullSecrets": [{"name": "registry"}]},
    "images-from-a-registry-of-all-charts": {
        "global": {"imageRegistry": "registry.example/all", "imagePullSecrets": ["one", {"name": "two"}]},
        "imagePullSecrets": [{"name": "two"}],
    },
    "no-admission-policy": {"admissionPolicy": {"enabled": False}},
    "alerts-and-dashboards": {
        "metrics": {
            "perObject": True,
            "prometheusRule": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "alertLabels": {"team": "voice"},
                "disabled": ["WyomingSttNoLeader"],
            },
            "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Speech"}},
        },
    },
    "host-path": {"servers": {"allowHostPath": True}},
    "one-namespace": {"watchNamespaces": [NAMESPACE]},
    "two-namespaces": {"watchNamespaces": ["home", "office"]},
    "nothing-of-the-cluster": {
        "watchNamespaces": [NAMESPACE],
        "crds": {"enabled": False},
        "rbac": {"aggregateRoles": False},
        "admissionPolicy": {"enabled": False},
    },
    "no-definition": {"crds": {"enabled": False}},
    "definition-goes": {"crds": {"keep": False}},
    "no-roles": {"rbac": {"create": False}},
    "no-aggregate-roles": {"rbac": {"aggregateRoles": False}},
    "own-account": {"serviceAccount": {"create": False, "name": "mine"}},
    "annotated-account": {"serviceAccount": {"name": "other", "annotations": {"a.example/b": "c"}}},
    "no-replicas": {"replicaCount": 0},
    "two-replicas": {"replicaCount": 2},
    "three-replicas-without-budget": {"replicaCount": 3, "podDisruptionBudget": {"enabled": False}},
    "no-resources": {"resources": {"requests": None, "limits": None}},
    "logs-for-people": {"logging": {"filter": "info,operator=debug", "format": "text"}},
    "otlp": {"otlp": {"endpoint": "http://collector.monitoring:4317"}},
    "no-metrics-service": {"metrics": {"service": {"enabled": False}}},
    "pod-monitors": {
        "metrics": {"podMonitor": {"enabled": True, "servers": True, "labels": {"release": "prometheus"}}},
    },
    "pod-monitor-of-namespaces": {"watchNamespaces": ["home"], "metrics": {"podMonitor": {"servers": True}}},
    "network-policy": {"networkPolicy": {"enabled": True}},
    "narrow-network-policy": {
        "watchNamespaces": ["home"],
        "otlp": {"endpoint": "http://collector.monitoring:4317/"},
        "networkPolicy": {
            "enabled": True,
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "apiServer": {"cidrs": ["10.0.0.1/32", "10.0.0.2/32"], "ports": [6443]},
            "serverAdminPorts": [10390, 10391],
            "dnsPorts": [5353],
            "extraEgress": [{"ports": [{"port": 8080}]}],
        },
    },
    "names": {"fullnameOverride": "ears", "commonLabels": {"team": "voice"}, "commonAnnotations": {"a.example/b": "c"}},
    "pods": {
        "podLabels": {"pod": "yes"},
        "podAnnotations": {"pod.example/a": "yes"},
        "extraArgs": ["--log", "debug"],
        "extraEnv": [{"name": "NO_COLOR", "value": "1"}],
        "extraVolumes": [{"name": "certificates", "configMap": {"name": "certificates"}}],
        "extraVolumeMounts": [{"name": "certificates", "mountPath": "/etc/ssl/certs", "readOnly": True}],
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["collector.example"]}],
        "livenessProbe": {"periodSeconds": 20},
        "readinessProbe": {"initialDelaySeconds": 5, "failureThreshold": 1},
        "revisionHistoryLimit": 1,
        "maxRollouts": 0,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "control", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
        ],
        "priorityClassName": "system-cluster-critical",
    },
    "users-chosen-by-the-cluster": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None}},
    "instances": {"instances": INSTANCES},
    "instances-of-a-namespace": {"watchNamespaces": [NAMESPACE], "instances": INSTANCES},
    "instances-taken-away": {"instances": {"speech": None}},
    "instances-with-labels": {"instances": INSTANCES, "commonLabels": {"team": "voice"}},
}
