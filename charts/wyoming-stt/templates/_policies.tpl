{{/* Whether there are admission policies. An account that others may use as well is not held to what the operator does. */}}
{{- define "wyoming-stt.admissionPolicy" -}}
{{- if and .Values.admissionPolicy.enabled (or .Values.serviceAccount.create .Values.serviceAccount.name) -}}
true
{{- end -}}
{{- end -}}

{{/* Pods: what deleting one costs, and nothing else of it. */}}
{{- define "wyoming-stt.policy.pods" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [pods]
variables:
  - name: cost
    expression: "'controller.kubernetes.io/pod-deletion-cost'"
  - name: before
    expression: oldObject.metadata.?annotations.orValue({})
  - name: after
    expression: object.metadata.?annotations.orValue({})
validations:
  - expression: request.operation == 'UPDATE'
    message: the operator of wyoming-stt neither makes nor deletes pods
    reason: Forbidden
  - expression: >-
      request.operation != 'UPDATE' ||
      oldObject.metadata.?labels['app.kubernetes.io/managed-by'].orValue('') == 'wyoming-stt-operator'
    message: the operator of wyoming-stt may only mark pods of its endpoints
    reason: Forbidden
  - expression: >-
      request.operation != 'UPDATE' || (
      object.spec == oldObject.spec &&
      object.metadata.?labels == oldObject.metadata.?labels &&
      object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
      object.metadata.?finalizers == oldObject.metadata.?finalizers &&
      variables.after.all(name, name == variables.cost ||
        (name in variables.before && variables.before[name] == variables.after[name])) &&
      variables.before.all(name, name == variables.cost || name in variables.after))
    message: the operator of wyoming-stt may change nothing of a pod but the annotation controller.kubernetes.io/pod-deletion-cost
    reason: Forbidden
{{- end -}}

{{/* Children: only those of WyomingStt objects, by their owner, or by their label where they have none, as when an
object was deleted without its children. */}}
{{- define "wyoming-stt.policy.children" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [services, serviceaccounts, persistentvolumeclaims]
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [deployments]
    - apiGroups: [networking.k8s.io]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [networkpolicies]
    - apiGroups: [policy]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [poddisruptionbudgets]
    - apiGroups: [coordination.k8s.io]
      apiVersions: [v1]
      operations: [CREATE, UPDATE, DELETE]
      resources: [leases]
variables:
  - name: isLease
    expression: request.resource.resource == 'leases'
  - name: meta
    expression: "request.operation == 'CREATE' ? object.metadata : oldObject.metadata"
  - name: controllers
    expression: variables.meta.?ownerReferences.orValue([]).filter(owner, owner.?controller.orValue(false))
  - name: isOwned
    expression: >-
      variables.controllers.exists(owner, owner.kind == 'WyomingStt' &&
      owner.apiVersion.startsWith('wyoming-stt.dev/') && owner.name == variables.meta.name)
  - name: isLabelled
    expression: variables.meta.?labels['app.kubernetes.io/managed-by'].orValue('') == 'wyoming-stt-operator'
validations:
  - expression: >-
      variables.isLease || (request.operation == 'CREATE' ?
      variables.isOwned && variables.isLabelled :
      variables.isOwned || (variables.isLabelled && variables.controllers.size() == 0))
    message: the operator of wyoming-stt may only make, change and delete what belongs to a WyomingStt object of the same name
    reason: Forbidden
  - expression: >-
      variables.isLease || request.operation != 'UPDATE' ||
      object.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false) &&
      owner.kind == 'WyomingStt' && owner.name == object.metadata.name)
    message: what the operator of wyoming-stt changes must go on to belong to a WyomingStt object
    reason: Forbidden
  - expression: "!variables.isLease || request.name == {{ include "wyoming-stt.lease" . | squote }} || object.metadata.name == {{ include "wyoming-stt.lease" . | squote }}"
    message: the operator of wyoming-stt may only hold the lease {{ include "wyoming-stt.lease" . }}
    reason: Forbidden
{{- end -}}

{{/* Pod templates: none that reaches into its node, whoever makes the operator write it. */}}
{{- define "wyoming-stt.policy.templates" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [deployments]
variables:
  - name: pod
    expression: object.spec.template.spec
  - name: containers
    expression: variables.pod.containers + variables.pod.?initContainers.orValue([])
validations:
  - expression: >-
      !variables.pod.?hostNetwork.orValue(false) && !variables.pod.?hostPID.orValue(false) &&
      !variables.pod.?hostIPC.orValue(false)
    message: pods of an endpoint must not share the network, the processes or the memory of their node
    reason: Forbidden
  - expression: variables.containers.all(container, !container.?securityContext.?privileged.orValue(false))
    message: containers of an endpoint must not be privileged
    reason: Forbidden
  {{- if not .Values.servers.allowHostPath }}
  - expression: variables.pod.?volumes.orValue([]).all(volume, !has(volume.hostPath))
    message: pods of an endpoint must not mount folders of their node; servers.allowHostPath of the chart allows it
    reason: Forbidden
  {{- end }}
{{- end -}}
