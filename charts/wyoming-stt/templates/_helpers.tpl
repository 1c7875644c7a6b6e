{{/* What the release's objects are called after. */}}
{{- define "wyoming-stt.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "wyoming-stt.operator" -}}
{{ include "wyoming-stt.fullname" . }}-operator
{{- end -}}

{{- define "wyoming-stt.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "wyoming-stt.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What singles out the operator's pods. It never changes: a Deployment's selector cannot. The pods of an endpoint
have another name, so that no endpoint's Service can find an operator. */}}
{{- define "wyoming-stt.selector" -}}
app.kubernetes.io/name: wyoming-stt-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The lease: each watched namespace has one, and whoever watches it wants that one; an operator of the whole cluster
has one of another name in its own namespace. */}}
{{- define "wyoming-stt.lease" -}}
{{ ternary "wyoming-stt-operator" "wyoming-stt-operator-cluster" (gt (len .Values.watchNamespaces) 0) }}
{{- end -}}

{{/* Labels of an object, ours before the user's: (dict "context" $), and "app", "labels" where it has its own. */}}
{{- define "wyoming-stt.labels" -}}
{{- $context := .context -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_")
  "app.kubernetes.io/name" (default "wyoming-stt-operator" .app)
  "app.kubernetes.io/instance" $context.Release.Name
  "app.kubernetes.io/version" $context.Chart.AppVersion
  "app.kubernetes.io/part-of" "wyoming-stt"
  "app.kubernetes.io/managed-by" $context.Release.Service
-}}
{{- toYaml (merge $ours (default dict .labels) $context.Values.commonLabels) -}}
{{- end -}}

{{/* The metadata of every object but the definition: (dict "context" $ "name" NAME), and "namespace", "app",
"labels", "annotations" where an object has its own. */}}
{{- define "wyoming-stt.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "wyoming-stt.labels" . | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .context.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image: (dict "context" $ "image" VALUES "tag" TAG). */}}
{{- define "wyoming-stt.image" -}}
{{- $repository := .image.repository -}}
{{- with default (dig "imageRegistry" "" (default dict .context.Values.global)) .context.Values.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Secrets of registries: the release's, and those that charts share, which are names or objects. */}}
{{- define "wyoming-stt.pullSecrets" -}}
{{- $secrets := .Values.imagePullSecrets -}}
{{- range $given := default list (dig "imagePullSecrets" list (default dict .Values.global)) -}}
{{- $name := $given -}}
{{- if kindIs "map" $given -}}
{{- $name = $given.name -}}
{{- end -}}
{{- $secrets = append $secrets (dict "name" $name) -}}
{{- end -}}
{{- toYaml (uniq $secrets) -}}
{{- end -}}

{{- define "wyoming-stt.serverImage" -}}
{{- include "wyoming-stt.image" (dict "context" . "image" .Values.servers.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "wyoming-stt.cudaImage" -}}
{{- $tag := printf "%s-cuda" .Chart.AppVersion -}}
{{- include "wyoming-stt.image" (dict "context" . "image" .Values.servers.cudaImage "tag" $tag) -}}
{{- end -}}

{{/* The endpoints of this release, as YAML. A later file of values takes one away by null. */}}
{{- define "wyoming-stt.instances" -}}
{{- $instances := dict -}}
{{- range $name, $spec := .Values.instances -}}
{{- /* The schema could refuse the name, but not say where it stands. */ -}}
{{- if not (and (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) (le (len $name) 40)) -}}
{{- fail (printf "instances: %s is not a name for a Service: lower case letters, digits and '-', a letter first, 40 characters at most" $name) -}}
{{- end -}}
{{- if $spec -}}
{{- $_ := set $instances $name $spec -}}
{{- end -}}
{{- end -}}
{{- toYaml $instances -}}
{{- end -}}

{{/* The port of an endpoint's Service, from its spec. */}}
{{- define "wyoming-stt.port" -}}
{{- int (dig "service" "port" 10300 .) -}}
{{- end -}}

{{/* What singles out the pods of all endpoints. */}}
{{- define "wyoming-stt.serverSelector" -}}
app.kubernetes.io/name: wyoming-stt
app.kubernetes.io/component: server
{{- end -}}

{{/* What singles out the pod of `helm test`. */}}
{{- define "wyoming-stt.testSelector" -}}
app.kubernetes.io/name: wyoming-stt-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The port of `http://HOST:PORT/…`; 80 when it names none. */}}
{{- define "wyoming-stt.otlpPort" -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host -}}
{{- default (ternary "443" "80" (hasPrefix "https://" .)) (trimPrefix ":" $port) -}}
{{- end -}}
