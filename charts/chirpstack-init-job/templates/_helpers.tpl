{{- define "init-job.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A text as the value of a label, which may be empty. */}}
{{- define "init-job.label" -}}
{{- regexReplaceAll "[^-A-Za-z0-9_.]+" . "-" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{- define "init-job.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{/* By tag (1.2), digest (@sha256:…) or both (1.2@sha256:…). */}}
{{- define "init-job.image" -}}
{{- $tag := include "init-job.tag" . -}}
{{- printf "%s%s%s" .Values.image.repository (hasPrefix "@" $tag | ternary "" ":") $tag -}}
{{- end -}}

{{- define "init-job.selector" -}}
app.kubernetes.io/name: {{ include "init-job.label" (default .Chart.Name .Values.nameOverride) | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "init-job.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "init-job.selector" . }}
{{- with include "init-job.label" (include "init-job.tag" . | splitList "@" | first) }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The Secrets for tokens, each once. */}}
{{- define "init-job.secrets" -}}
{{- $names := list -}}
{{- range .Values.keys }}{{ $names = append $names .secret }}{{ end -}}
{{- $names | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* A job's spec; args: what follows the image's name. */}}
{{- define "init-job.spec" -}}
{{- $ := .root -}}
backoffLimit: {{ $.Values.job.backoffLimit | int64 }}
activeDeadlineSeconds: {{ $.Values.job.activeDeadlineSeconds | int64 }}
ttlSecondsAfterFinished: {{ $.Values.job.ttlSecondsAfterFinished | int64 }}
podFailurePolicy:
  rules:
    # Nothing that another try would mend: a bug, the settings, the account, the token, a refusal. What may pass is
    # tried again: 3 (the server is not ready) and 6 (the Secret cannot be written). Of several keys that failed, the
    # first one's code is the run's: after a 5, what failed with a 6 waits for the next run; after a 6, all are tried.
    - action: FailJob
      onExitCodes:
        containerName: job
        operator: In
        values: [1, 2, 4, 5, 7]
template:
  metadata:
    labels:
      {{- include "init-job.selector" $ | nindent 6 }}
      {{- with $.Values.podLabels }}{{ toYaml . | nindent 6 }}{{ end }}
    {{- with $.Values.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "init-job.fullname" $ | quote }}
    enableServiceLinks: false
    {{- with $.Values.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      runAsNonRoot: true
      runAsUser: 65532
      runAsGroup: 65532
      seccompProfile:
        type: RuntimeDefault
    containers:
      - name: job
        image: {{ include "init-job.image" $ | quote }}
        imagePullPolicy: {{ $.Values.image.pullPolicy }}
        {{- with .args }}
        args: {{ toJson . }}
        {{- end }}
        env:
          - name: CHIRPSTACK_URL
            value: {{ $.Values.chirpstack.url | quote }}
          - name: CHIRPSTACK_EMAIL
            value: {{ $.Values.chirpstack.email | quote }}
          - name: CHIRPSTACK_PASSWORD
            valueFrom:
              secretKeyRef:
                name: {{ $.Values.chirpstack.existingSecret | quote }}
                key: {{ $.Values.chirpstack.existingSecretKey | quote }}
          - name: KEYS_FILE
            value: /etc/chirpstack-init-job/keys.toml
          {{- range $name, $value := $.Values.env }}
          - name: {{ $name | quote }}
            value: {{ $value | quote }}
          {{- end }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop: [ALL]
        resources:
          {{- toYaml $.Values.resources | nindent 10 }}
        volumeMounts:
          - name: keys
            mountPath: /etc/chirpstack-init-job
            readOnly: true
          {{- with $.Values.volumeMounts }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
    volumes:
      - name: keys
        configMap:
          name: {{ include "init-job.fullname" $ | quote }}
      {{- with $.Values.volumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $.Values.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $.Values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $.Values.affinity }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}
