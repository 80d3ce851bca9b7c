{{/* Names and labels that every template shares. */}}

{{- define "logspine.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ printf "%s-operator" .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s-operator" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "logspine.selector" -}}
app.kubernetes.io/name: logspine-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "logspine.labels" -}}
{{ include "logspine.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "logspine.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "logspine.name" .) }}
{{- end }}

{{- define "logspine.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What the operator may do where it watches: each verb is one that it uses. */}}
{{- define "logspine.rules" -}}
- apiGroups: [logspine.dev]
  resources: [clusters, topics]
  verbs: [list, watch, patch]
- apiGroups: [logspine.dev]
  resources: [clusters/status, topics/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
