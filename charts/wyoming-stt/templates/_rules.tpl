{{/* What the operator may do where it looks after WyomingStt objects. */}}
{{- define "wyoming-stt.rules" -}}
- apiGroups: [wyoming-stt.dev]
  resources: [wyomingstts]
  verbs: [get, list, watch]
- apiGroups: [wyoming-stt.dev]
  resources: [wyomingstts/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# What a changed spec may no longer need is deleted.
- apiGroups: [""]
  resources: [serviceaccounts, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Patch: what deleting a pod costs, just before replicas are taken away.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* The operator's own lease. */}}
{{- define "wyoming-stt.leaseRules" -}}
# Creating cannot be limited to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "wyoming-stt.lease" . }}]
  verbs: [get, update]
{{- end -}}

{{/* The operator's ServiceAccount as the one subject of a binding. */}}
{{- define "wyoming-stt.subjects" -}}
- kind: ServiceAccount
  name: {{ include "wyoming-stt.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
