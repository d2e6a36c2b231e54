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

{{- define "init-job.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "init-job.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "init-job.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
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
backoffLimit: {{ $.Values.job.backoffLimit }}
activeDeadlineSeconds: {{ $.Values.job.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ $.Values.job.ttlSecondsAfterFinished }}
podFailurePolicy:
  rules:
    # Nothing that another try would mend: a bug, the settings, the account, the token, a refusal. What may pass is
    # tried again: 3 (the server is not ready) and 6 (the Secret cannot be written).
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
    serviceAccountName: {{ include "init-job.fullname" $ }}
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
        image: {{ printf "%s:%s" $.Values.image.repository ($.Values.image.tag | default $.Chart.AppVersion) | quote }}
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
                name: {{ $.Values.chirpstack.existingSecret }}
                key: {{ $.Values.chirpstack.existingSecretKey }}
          - name: KEYS_FILE
            value: /etc/chirpstack-init-job/keys.toml
          {{- range $name, $value := $.Values.env }}
          - name: {{ $name }}
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
          name: {{ include "init-job.fullname" $ }}
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
