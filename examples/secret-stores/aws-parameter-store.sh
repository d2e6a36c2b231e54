# AWS Systems Manager Parameter Store: ENTRY is the parameter's name.
get() { aws ssm get-parameter --name "$entry" --with-decryption --query Parameter.Value --output text; }
put() { tr -d '\n' | aws ssm put-parameter --name "$entry" --type SecureString --overwrite --value file:///dev/stdin >/dev/null; }
