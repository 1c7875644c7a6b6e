{{/* The operator's settings, as variables: an argument of extraArgs wins over them. */}}
{{- define "wyoming-stt.environment" -}}
{{- $ours := include "wyoming-stt.ownEnvironment" . -}}
{{- range .Values.extraEnv -}}
{{- if contains (printf "name: %s\n" .name) $ours -}}
{{- fail (printf "extraEnv: %s is set by the chart: use the value that values.yaml has for it" .name) -}}
{{- end -}}
{{- end -}}
{{ $ours }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "wyoming-stt.ownEnvironment" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: OPERATOR_SERVER_IMAGE
  value: {{ include "wyoming-stt.serverImage" . }}
- name: OPERATOR_SERVER_IMAGE_CUDA
  value: {{ include "wyoming-stt.cudaImage" . }}
{{- with .Values.watchNamespaces }}
- name: OPERATOR_WATCH_NAMESPACES
  value: {{ join "," . }}
{{- end }}
{{- if .Values.servers.allowHostPath }}
- name: OPERATOR_ALLOW_HOST_PATH
  value: "true"
{{- end }}
- name: OPERATOR_MAX_ROLLOUTS
  value: {{ .Values.maxRollouts | quote }}
{{- if .Values.metrics.perObject }}
- name: OPERATOR_METRICS_PER_OBJECT
  value: "true"
{{- end }}
- name: OPERATOR_LOG
  value: {{ .Values.logging.filter | quote }}
- name: OPERATOR_LOG_FORMAT
  value: {{ .Values.logging.format }}
{{- with .Values.otlp.endpoint }}
- name: OPERATOR_OTLP_ENDPOINT
  value: {{ . }}
{{- end }}
{{- end -}}
